-- Gauges that these events say, of which they were parts once.
SELECT b.id, e.id AS event_id, e.total
FROM json_each(?1) AS n CROSS JOIN meter_event AS e ON e.id = n.value
CROSS JOIN balance AS b INDEXED BY balance_said_by ON b.said_by = e.id
