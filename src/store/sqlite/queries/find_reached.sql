-- The states of the events that cover the lines of some records.
SELECT k.record_position AS position, e.state
FROM json_each(?1) AS wanted CROSS JOIN booking AS k ON k.record_position = wanted.value
CROSS JOIN meter_event AS e ON e.balance_id = k.balance_id AND e.covers_from < k.id
  AND k.id <= e.covers_to
WHERE e.kind = 'usage'
