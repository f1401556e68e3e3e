SELECT position, source, id, customer, meter, quantity, occurred_at, properties
FROM usage_record WHERE position > ?1 AND position <= ?2
  AND meter IN (SELECT value FROM json_each(?3))
ORDER BY position
