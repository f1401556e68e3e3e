SELECT b.provider, b.account, d.meter, b.window_start, b.window_end, b.accrued, b.told
FROM balance_hold AS h JOIN balance AS b ON b.id = h.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE (?1 IS NULL OR b.account = ?1) AND (?2 IS NULL OR d.meter = ?2)
