SELECT 'event ' || e.id AS row FROM meter_event AS e
WHERE e.attempts <> (SELECT count(*) FROM attempt AS a WHERE a.event_id = e.id)
LIMIT 20
