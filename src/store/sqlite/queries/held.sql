-- Held events, and balances with something outstanding that cannot be told. The version is what
-- changes whenever the item does.
SELECT 'event' AS kind, e.id AS number, b.provider, b.account, d.meter, e.quantity, b.accrued,
  b.told, e.hold_reason AS reason, e.hold_detail AS detail, e.moved_at AS since,
  e.moved_at AS version
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE e.state = 'held'
UNION ALL
SELECT 'balance', b.id, b.provider, b.account, d.meter, NULL, b.accrued, b.told, h.reason,
  h.detail, h.since, b.version
FROM balance_hold AS h JOIN balance AS b ON b.id = h.balance_id
JOIN destination AS d ON d.id = b.destination_id
ORDER BY since LIMIT ?1
