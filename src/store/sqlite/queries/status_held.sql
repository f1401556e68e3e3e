-- What is held, whose it is, and how much of it.
SELECT b.provider, b.account, d.meter, e.hold_reason AS reason, e.quantity, b.accrued, b.told
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE e.state = 'held'
UNION ALL
SELECT b.provider, b.account, d.meter, h.reason, NULL, b.accrued, b.told
FROM balance_hold AS h JOIN balance AS b ON b.id = h.balance_id
JOIN destination AS d ON d.id = b.destination_id
