-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT a.identity, a.position, f.id AS archive, f.path, f.sealed_at
FROM json_each(?1) AS wanted CROSS JOIN archived_record AS a ON a.identity = unhex(wanted.value)
CROSS JOIN archive AS f ON f.id = a.archive_id
