UPDATE notice SET duplicates = duplicates + (r.value ->> 1) FROM json_each(?1) AS r
WHERE notice.id = r.value ->> 0
