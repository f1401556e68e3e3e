-- Balances that periods concern and that are not due yet: what is held, or spans a bound, or comes
-- into a draft. CROSS JOIN keeps the order, as elsewhere.
UPDATE balance SET due_at = ?2, version = version + 1
WHERE id IN (SELECT b.id FROM json_each(?1) AS n
  CROSS JOIN destination AS d ON d.provider = n.value ->> 0 AND d.meter = n.value ->> 2
  CROSS JOIN balance AS b ON b.destination_id = d.id AND b.account = n.value ->> 1
    AND b.window_start < n.value ->> 4 AND b.window_end > n.value ->> 3
  WHERE (b.due_at IS NULL OR b.due_at > ?2)
    AND ((n.value ->> 5 = 1 AND (b.accrued <> b.told OR b.fold <> 'sum')
        AND b.window_end <= n.value ->> 4)
      OR EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = b.id)
      OR ((b.accrued <> '0' OR b.reads = 1) AND b.record_position = 0
        AND (b.window_start < n.value ->> 3 OR b.window_end > n.value ->> 4))))
