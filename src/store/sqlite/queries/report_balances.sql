-- What is booked of an account and a meter in windows that begin in a span.
SELECT b.id, b.fold, b.accrued, b.told, b.finer, b.due_at, h.reason, h.detail
FROM destination AS d CROSS JOIN balance AS b ON b.destination_id = d.id
  AND b.account = ?3 AND b.window_start >= ?4 AND b.window_start < ?5
LEFT JOIN balance_hold AS h ON h.balance_id = b.id
WHERE d.provider = ?1 AND d.meter = ?2
ORDER BY b.window_start, b.id
