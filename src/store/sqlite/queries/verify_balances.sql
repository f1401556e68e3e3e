SELECT b.id, b.accrued, b.told, b.reads, b.stands_at, b.digest, b.booked_to, b.events, b.due_at,
  b.finer,
  EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = b.id) AS held
FROM balance AS b
