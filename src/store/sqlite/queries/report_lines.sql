-- The lines of those balances that are sums, beside what routes and corrections make of a record.
SELECT k.cause, k.quantity
FROM destination AS d CROSS JOIN balance AS b ON b.destination_id = d.id
  AND b.account = ?3 AND b.window_start >= ?4 AND b.window_start < ?5
CROSS JOIN booking AS k ON k.balance_id = b.id
WHERE d.provider = ?1 AND d.meter = ?2 AND b.fold = 'sum'
  AND k.cause NOT IN ('record', 'correction', 'remap_from', 'remap_to')
