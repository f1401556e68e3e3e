-- Of these events those that wait and for which no request was ever made, with their meters.
SELECT e.id, l.destination_id FROM json_each(?2) AS n
CROSS JOIN meter_event AS e ON e.id = n.value
CROSS JOIN lane AS l ON l.id = e.lane_id
WHERE l.provider = ?1 AND +e.state = 'pending' AND e.kind = 'usage' AND e.attempts = 0
  AND e.generation = 1
