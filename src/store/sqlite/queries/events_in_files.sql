-- Events of usage that are held for a file to tell, with what their balances are of.
SELECT e.id, e.quantity, b.account, d.meter, b.window_start, b.window_end,
  (SELECT max(x.export_id) FROM export_event AS x WHERE x.event_id = e.id) AS export_id
FROM lane AS l JOIN meter_event AS e INDEXED BY meter_event_unproven ON e.lane_id = l.id
JOIN balance AS b ON b.id = e.balance_id JOIN destination AS d ON d.id = b.destination_id
WHERE l.provider = ?1 AND e.state IN ('unknown', 'accepted', 'held') AND e.state = 'held'
  AND e.hold_reason = 'exported' AND e.kind = 'usage' ORDER BY e.id
