-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT r.identity, r.content, r.position
FROM json_each(?1) AS wanted CROSS JOIN usage_record AS r ON r.identity = unhex(wanted.value)
UNION ALL
SELECT a.identity, a.content, a.position
FROM json_each(?1) AS wanted CROSS JOIN archived_record AS a ON a.identity = unhex(wanted.value)
