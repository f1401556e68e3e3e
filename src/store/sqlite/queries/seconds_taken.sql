-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT e.balance_id, e.second
FROM json_each(?1) AS wanted CROSS JOIN meter_event AS e ON e.balance_id = wanted.value
WHERE e.second IS NOT NULL
