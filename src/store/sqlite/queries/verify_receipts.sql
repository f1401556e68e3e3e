SELECT 'event ' || e.id AS row FROM meter_event AS e
WHERE e.state = 'accepted' AND NOT EXISTS (SELECT 1 FROM attempt AS a
  JOIN receipt AS r ON r.attempt_id = a.id
  WHERE a.event_id = e.id AND r.outcome IN ('accepted', 'duplicate'))
LIMIT 20
