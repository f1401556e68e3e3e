SELECT b.id, b.provider, d.meter, b.account, b.dimensions, b.window_start, b.window_end,
  b.record_position, b.accrued, b.told, b.digest, b.newest_at, b.booked_to, b.told_to, b.events,
  b.version,
  (SELECT p.closed_until FROM account_period AS p
   WHERE p.provider = b.provider AND p.account = b.account) AS closed_until
FROM balance AS b JOIN destination AS d ON d.id = b.destination_id
WHERE b.provider = ?1 AND b.due_at <= ?2 ORDER BY b.due_at LIMIT ?3
