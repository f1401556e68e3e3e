SELECT 'event ' || m.event_id AS row FROM event_move AS m
WHERE m.from_state <> '' AND NOT EXISTS (SELECT 1 FROM legal_move AS l
  WHERE l.from_state = m.from_state AND l.to_state = m.to_state)
LIMIT 20
