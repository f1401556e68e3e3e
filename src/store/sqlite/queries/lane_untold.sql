-- Balances of a lane with something outstanding, whose windows reach into a span and began before a
-- time.
SELECT b.id, b.window_start, b.window_end, b.accrued, b.told
FROM lane AS l CROSS JOIN balance AS b
  ON b.destination_id = l.destination_id AND b.account = l.account
WHERE l.id = ?1 AND b.window_start < ?3 AND b.window_end > ?2 AND b.window_start <= ?4
  AND b.accrued <> b.told
ORDER BY b.id
