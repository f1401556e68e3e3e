SELECT b.id, b.version, b.told, b.told_to, b.booked_to
FROM json_each(?1) AS wanted JOIN balance AS b ON b.id = wanted.value
