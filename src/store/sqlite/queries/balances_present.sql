-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT b.id, b.version, b.told, b.told_to, b.booked_to
FROM json_each(?1) AS wanted CROSS JOIN balance AS b ON b.id = wanted.value
