UPDATE balance SET due_at = coalesce(due_at, ?2), version = version + 1
WHERE provider = ?1 AND (EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = balance.id)
  OR EXISTS (SELECT 1 FROM meter_event AS e WHERE e.balance_id = balance.id AND e.state = 'held'))
