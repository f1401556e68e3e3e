-- The first records that an event covers, or that the target of a cancel does, and how many there
-- are.
WITH line AS (
  SELECT DISTINCT k.record_position FROM meter_event AS n
  CROSS JOIN meter_event AS e ON e.id = coalesce(n.target_id, n.id)
  CROSS JOIN booking AS k ON k.balance_id = e.balance_id
    AND k.id > e.covers_from AND k.id <= e.covers_to
  WHERE n.id = ?1
)
SELECT r.source, r.id, (SELECT count(*) FROM line) AS records
FROM line CROSS JOIN usage_record AS r ON r.position = line.record_position
ORDER BY r.position LIMIT ?2
