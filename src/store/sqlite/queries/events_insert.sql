-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows. What
-- is born held may exist: the identifier may have been used by a ledger that was lost.
INSERT INTO meter_event (balance_id, lane_id, ordinal, kind, target_id, covers_from, covers_to,
  identifier, quantity, occurred_at, body, deadline_at, created_at, state, moved_at, why,
  hold_reason, hold_detail, ambiguous, generation, attempts, failures, next_attempt_at,
  second, total)
SELECT b.id, l.id, n.value ->> 1, n.value ->> 10, n.value ->> 11, n.value ->> 2, n.value ->> 3,
  n.value ->> 4, n.value ->> 5, n.value ->> 6, unhex(n.value ->> 7), n.value ->> 8, ?2,
  iif(n.value ->> 12 IS NULL, 'pending', 'held'), ?2, 'posted', n.value ->> 12, n.value ->> 13,
  n.value ->> 12 IS NOT NULL, 1, 0, 0, iif(n.value ->> 12 IS NULL, n.value ->> 9, NULL),
  n.value ->> 14, n.value ->> 15
FROM json_each(?1) AS n CROSS JOIN balance AS b ON b.id = n.value ->> 0
CROSS JOIN lane AS l ON l.destination_id = b.destination_id AND l.account = b.account
RETURNING lane_id
