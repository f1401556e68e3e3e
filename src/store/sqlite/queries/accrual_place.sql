SELECT w.position, l.mapping_version,
  (SELECT c.position FROM watermark AS c WHERE c.room = 'corrections') AS corrections,
  (SELECT coalesce(max(id), 0) FROM correction) AS corrections_end
FROM watermark AS w, ledger AS l WHERE w.room = 'accrual'
