SELECT r.identity, r.content, r.position
FROM json_each(?1) AS wanted JOIN usage_record AS r ON r.identity = unhex(wanted.value)
