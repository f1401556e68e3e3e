-- What is outstanding may also wait for the fate of an event that was sent.
SELECT b.id, b.accrued, b.told, b.digest, b.booked_to, b.events, b.due_at,
  EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = b.id)
    OR EXISTS (SELECT 1 FROM meter_event AS e WHERE e.balance_id = b.id AND e.attempts > 0
      AND e.state IN ('pending', 'in_flight', 'unknown')) AS waits
FROM balance AS b
