SELECT 'balance' AS kind, b.id AS number, b.provider, b.account, d.meter, NULL AS quantity,
  b.accrued, b.told, h.reason, h.detail, h.since, b.version, b.told_to, b.booked_to
FROM balance_hold AS h JOIN balance AS b ON b.id = h.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE h.balance_id = ?1
