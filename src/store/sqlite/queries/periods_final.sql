-- Periods with a final invoice that was not compared since it was learned, the first learned first.
SELECT p.id, p.account, p.meter, p.start_at, p.end_at, p.invoice, p.billed, p.learned_at,
  l.id AS lane_id
FROM billing_period AS p
LEFT JOIN destination AS d ON d.provider = p.provider AND d.meter = p.meter
LEFT JOIN lane AS l ON l.destination_id = d.id AND l.account = p.account
WHERE p.provider = ?1 AND p.billed IS NOT NULL AND p.compared_at IS NULL
ORDER BY p.id LIMIT ?2
