-- The records that a person's filter lets through, a page of the journal's order. What is archived
-- is left out, also while it is still here.
SELECT position, identity, source, id, customer, meter, quantity, occurred_at FROM usage_record
WHERE position > ?1 AND (?2 IS NULL OR source = ?2) AND (?3 IS NULL OR customer = ?3)
  AND (?4 IS NULL OR meter = ?4) AND (?5 IS NULL OR occurred_at >= ?5)
  AND (?6 IS NULL OR occurred_at < ?6)
  AND NOT EXISTS (SELECT 1 FROM archived_record AS a WHERE a.identity = usage_record.identity)
ORDER BY position LIMIT ?7
