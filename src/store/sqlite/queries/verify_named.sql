-- The record that a copy or a rejected item names is here or archived.
SELECT n.row FROM (
  SELECT 'conflict ' || id AS row, position FROM conflicting_record
  UNION ALL
  SELECT 'rejected ' || id, position FROM rejected_record WHERE position IS NOT NULL
) AS n
WHERE NOT EXISTS (SELECT 1 FROM usage_record AS r WHERE r.position = n.position)
  AND n.position NOT IN (SELECT position FROM archived_record)
LIMIT 20
