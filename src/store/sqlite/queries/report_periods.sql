SELECT account, meter, start_at, end_at, invoice, billed FROM billing_period
WHERE provider = ?1 AND (?2 IS NULL OR account = ?2) AND (?3 IS NULL OR meter = ?3)
  AND start_at < ?5 AND end_at > ?4
ORDER BY account, meter, start_at, id
