-- Whether any of some records got a line after this one. CROSS JOIN keeps the order, as elsewhere.
SELECT 1 AS found FROM json_each(?1) AS wanted
CROSS JOIN booking AS k ON k.record_position = wanted.value AND k.id > ?2
LIMIT 1
