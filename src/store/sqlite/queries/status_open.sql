-- What is on its way or unknown, whose it is, and how much of it.
SELECT b.provider, d.meter, e.quantity
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE e.state = 'in_flight'
UNION ALL
-- The first condition is the index's own.
SELECT b.provider, d.meter, e.quantity
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE e.state IN ('pending', 'unknown') AND e.state = 'unknown'
