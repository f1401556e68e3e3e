SELECT 'event ' || e.id AS row FROM meter_event AS e
WHERE e.state IS NOT (SELECT m.to_state FROM event_move AS m WHERE m.event_id = e.id
  ORDER BY m.id DESC LIMIT 1)
LIMIT 20
