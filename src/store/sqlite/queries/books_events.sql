SELECT b.provider, b.account, d.meter, b.window_start, b.window_end, e.state, e.ambiguous,
  e.quantity
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE (?1 IS NULL OR b.account = ?1) AND (?2 IS NULL OR d.meter = ?2)
