SELECT r.position, r.identity FROM json_each(?1) AS wanted
JOIN usage_record AS r ON r.position = wanted.value
