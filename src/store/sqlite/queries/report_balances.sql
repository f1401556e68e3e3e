-- What is booked of an account and a meter in windows that begin in a span; and in gauges whose
-- reading is of it, as theirs may begin at any time.
SELECT b.id, b.fold, b.accrued, b.told, b.finer, b.due_at, h.reason, h.detail
FROM destination AS d CROSS JOIN balance AS b ON b.destination_id = d.id
  AND b.account = ?3 AND b.window_start < ?5
  AND iif(b.fold = 'gauge',
    min(max(coalesce(b.stands_at, b.newest_at), b.window_start), b.window_end - 1)
      BETWEEN ?4 AND ?5 - 1,
    b.window_start >= ?4)
LEFT JOIN balance_hold AS h ON h.balance_id = b.id
WHERE d.provider = ?1 AND d.meter = ?2
ORDER BY b.window_start, b.id
