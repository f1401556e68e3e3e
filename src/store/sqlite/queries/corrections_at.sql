-- The corrections of the records at some positions, in the order in which they were accepted.
SELECT r.position, c.id, c.kind, c.quantity, c.replaces
FROM json_each(?1) AS wanted CROSS JOIN usage_record AS r ON r.position = wanted.value
CROSS JOIN correction AS c ON c.identity = r.identity
ORDER BY r.position, c.id
