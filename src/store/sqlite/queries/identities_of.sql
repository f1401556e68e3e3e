-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT r.position, r.identity FROM json_each(?1) AS wanted
CROSS JOIN usage_record AS r ON r.position = wanted.value
