SELECT k.id, k.route_version_id, r.name AS route, b.provider, b.account, d.meter, k.balance_id,
  b.window_start, b.window_end, k.quantity, b.accrued, b.told, k.cause, k.cause_id, k.booked_at,
  h.reason AS hold_reason, h.detail AS hold_detail
FROM booking AS k JOIN route_version AS r ON r.id = k.route_version_id
JOIN balance AS b ON b.id = k.balance_id JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN balance_hold AS h ON h.balance_id = b.id
WHERE k.record_position = ?1 ORDER BY k.id
