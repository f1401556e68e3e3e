-- The plus keeps the engine from walking all events in that state, and reading the array for each.
UPDATE meter_event SET state = n.value ->> 2, moved_at = ?2, why = n.value ->> 3,
  hold_reason = n.value ->> 4, hold_detail = n.value ->> 5, next_attempt_at = n.value ->> 6,
  ambiguous = n.value ->> 7, generation = generation + (n.value ->> 8),
  failures = CASE WHEN n.value ->> 9 THEN failures + 1 ELSE failures END,
  epoch = NULL, attempt_id = NULL
FROM json_each(?1) AS n
WHERE meter_event.id = n.value ->> 0 AND +meter_event.state = 'in_flight'
  AND meter_event.attempt_id = n.value ->> 1 AND meter_event.epoch = ?3
RETURNING lane_id, balance_id
