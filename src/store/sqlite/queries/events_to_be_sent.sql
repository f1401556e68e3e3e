-- Events of usage that delivery would send, or send again, with what their balances are of.
SELECT e.id, e.quantity, e.attempts, e.ambiguous, b.account, d.meter, b.window_start, b.window_end
FROM lane AS l JOIN meter_event AS e ON e.lane_id = l.id
JOIN balance AS b ON b.id = e.balance_id JOIN destination AS d ON d.id = b.destination_id
WHERE l.provider = ?1 AND e.state IN ('pending', 'unknown') AND e.kind = 'usage' ORDER BY e.id
