-- The first records that a balance holds and no event covers, and how many there are.
WITH line AS (
  SELECT DISTINCT k.record_position FROM balance AS b
  CROSS JOIN booking AS k ON k.balance_id = b.id AND k.id > b.told_to
  WHERE b.id = ?1
)
SELECT r.source, r.id, (SELECT count(*) FROM line) AS records
FROM line CROSS JOIN usage_record AS r ON r.position = line.record_position
ORDER BY r.position LIMIT ?2
