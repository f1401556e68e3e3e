-- What was written off as told before, and what corrections took back of it since.
SELECT b.provider, b.account, d.meter, b.window_start, b.window_end, k.quantity
FROM booking AS k JOIN balance AS b ON b.id = k.balance_id
JOIN destination AS d ON d.id = b.destination_id
WHERE k.cause IN ('write_off', 'reversal') AND (?1 IS NULL OR b.account = ?1)
  AND (?2 IS NULL OR d.meter = ?2)
  AND EXISTS (SELECT 1 FROM booking AS o JOIN resolution AS s ON s.id = o.cause_id
    WHERE o.balance_id = k.balance_id AND o.record_position = k.record_position
      AND o.cause = 'write_off' AND s.verdict = 'told_before'
      AND (k.cause = 'reversal' OR o.id = k.id))
