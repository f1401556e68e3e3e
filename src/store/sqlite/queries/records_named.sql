-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT r.position, r.source, r.id, r.customer, r.meter, r.quantity, r.occurred_at, r.properties
FROM json_each(?1) AS wanted CROSS JOIN usage_record AS r ON r.identity = unhex(wanted.value)
WHERE r.position <= ?2 ORDER BY r.position
