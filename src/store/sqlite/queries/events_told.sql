-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT e.balance_id, e.id, e.state, e.quantity, e.attempts
FROM json_each(?1) AS wanted CROSS JOIN meter_event AS e ON e.balance_id = wanted.value
WHERE e.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')
ORDER BY e.balance_id, e.ordinal
