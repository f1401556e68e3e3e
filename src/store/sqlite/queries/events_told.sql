-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows. Spent
-- cancels are looked for once, not once for each event: a balance may have many.
SELECT e.balance_id, e.id, e.state, e.kind, e.identifier, e.quantity, e.total, e.occurred_at,
  e.target_id, e.attempts, e.ambiguous, e.first_attempt_at, e.covers_from,
  e.id IN (SELECT c.target_id FROM json_each(?1) AS wanted
    CROSS JOIN meter_event AS c ON c.balance_id = wanted.value
    WHERE c.kind = 'cancel' AND c.state IN ('superseded', 'dead')) AS cancel_spent
FROM json_each(?1) AS wanted CROSS JOIN meter_event AS e ON e.balance_id = wanted.value
WHERE e.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')
ORDER BY e.balance_id, e.ordinal
