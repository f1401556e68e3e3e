-- Each event, and the cancel of it that lives.
SELECT b.provider, b.account, d.meter, b.window_start, b.window_end, e.state, e.ambiguous,
  e.quantity, e.kind = 'cancel' AS is_cancel, c.state AS cancel_state,
  c.ambiguous AS cancel_ambiguous
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN meter_event AS c ON c.target_id = e.id
  AND c.state NOT IN ('void', 'superseded', 'dead')
WHERE (?1 IS NULL OR b.account = ?1) AND (?2 IS NULL OR d.meter = ?2)
