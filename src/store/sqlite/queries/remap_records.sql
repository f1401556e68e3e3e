-- The accrued records that a person's filter lets through, a page of the journal's order.
SELECT position, source, id, customer, meter, quantity, occurred_at, properties FROM usage_record
WHERE position > ?1 AND position <= ?2 AND (?3 IS NULL OR source = ?3)
  AND (?4 IS NULL OR customer = ?4) AND (?5 IS NULL OR meter = ?5)
  AND (?6 IS NULL OR occurred_at >= ?6) AND (?7 IS NULL OR occurred_at < ?7)
ORDER BY position LIMIT ?8
