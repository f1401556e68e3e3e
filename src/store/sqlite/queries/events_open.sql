-- What is open of the events of some balances, found by the indexes of what is open, however many
-- were accepted: what waits, what is on its way, and what is held. With it the newest of those that
-- were accepted, as a sign that something was told. CROSS JOIN keeps the order: from what came with
-- the call, which is read once, to the rows.
WITH wanted (balance_id, lane_id) AS (
  SELECT b.id, l.id FROM json_each(?1) AS w CROSS JOIN balance AS b ON b.id = w.value
  CROSS JOIN lane AS l ON l.destination_id = b.destination_id AND l.account = b.account
), found (id) AS (
  SELECT e.id FROM wanted AS w CROSS JOIN meter_event AS e INDEXED BY meter_event_waits
    ON e.lane_id = w.lane_id AND e.balance_id = w.balance_id
  WHERE e.state IN ('pending', 'unknown')
  UNION ALL
  SELECT e.id FROM wanted AS w CROSS JOIN meter_event AS e INDEXED BY meter_event_in_flight
    ON e.lane_id = w.lane_id AND e.balance_id = w.balance_id
  WHERE e.state = 'in_flight'
  UNION ALL
  SELECT e.id FROM meter_event AS e INDEXED BY meter_event_held
  WHERE e.state = 'held' AND e.balance_id IN (SELECT balance_id FROM wanted)
  UNION ALL
  SELECT (SELECT e.id FROM meter_event AS e
    WHERE e.balance_id = w.balance_id AND e.state IN ('accepted', 'settled')
    ORDER BY e.ordinal DESC LIMIT 1) FROM wanted AS w
)
SELECT e.balance_id, e.id, e.state, e.kind, e.identifier, e.quantity, e.total, e.occurred_at,
  e.target_id, e.attempts, e.ambiguous, e.first_attempt_at, e.covers_from, 0 AS cancel_spent
FROM found CROSS JOIN meter_event AS e ON e.id = found.id
ORDER BY e.balance_id, e.ordinal
