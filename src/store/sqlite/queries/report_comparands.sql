-- Accounts and meters of which something is booked, or billed, in a range.
WITH place AS (
  SELECT b.account, d.meter FROM destination AS d CROSS JOIN balance AS b ON b.destination_id = d.id
  WHERE d.provider = ?1 AND b.window_start < ?5 AND b.window_end > ?4
  UNION
  SELECT account, meter FROM billing_period
  WHERE provider = ?1 AND start_at < ?5 AND end_at > ?4
)
SELECT p.account, p.meter, l.id AS lane_id
FROM place AS p LEFT JOIN destination AS d ON d.provider = ?1 AND d.meter = p.meter
LEFT JOIN lane AS l ON l.destination_id = d.id AND l.account = p.account
WHERE (?2 IS NULL OR p.account = ?2) AND (?3 IS NULL OR p.meter = ?3)
ORDER BY p.account, p.meter
