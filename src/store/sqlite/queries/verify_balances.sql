-- What a gauge's own events say, and what one of another says of it as it was part of that.
SELECT b.id, b.accrued, b.told, b.reads, b.stands_at, b.digest, b.booked_to, b.events, b.due_at,
  b.finer, s.total AS said,
  EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = b.id) AS held
FROM balance AS b
LEFT JOIN meter_event AS s ON s.id = b.said_by
  AND s.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')
