-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT r.identity, r.quantity
FROM json_each(?1) AS wanted CROSS JOIN usage_record AS r ON r.identity = unhex(wanted.value)
