-- The plus keeps the engine from walking all events in that state, and reading the array for each.
UPDATE meter_event SET state = n.value ->> 1, moved_at = ?2, why = n.value ->> 2,
  hold_reason = n.value ->> 3, hold_detail = n.value ->> 4, next_attempt_at = n.value ->> 5,
  ambiguous = n.value ->> 6, generation = generation + (n.value ->> 7)
FROM json_each(?1) AS n
WHERE meter_event.id = n.value ->> 0 AND +meter_event.state <> 'in_flight'
