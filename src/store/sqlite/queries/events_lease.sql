-- The first attempt that may have landed is no later than the newest reading of the provider's
-- clock: while an event is not ambiguous, none before this one did. The last may land until its
-- timeout after now. The plus keeps the engine from walking all events in that state, and reading
-- the array for each.
UPDATE meter_event SET state = 'in_flight', moved_at = ?3, why = 'leased', epoch = ?2,
  attempt_id = n.value ->> 0, attempts = n.value ->> 2, next_attempt_at = NULL,
  first_attempt_at = CASE ambiguous WHEN 1 THEN first_attempt_at ELSE ?4 END,
  last_attempt_at = max(coalesce(last_attempt_at, ?5), ?5)
FROM json_each(?1) AS n
WHERE meter_event.id = n.value ->> 1 AND +meter_event.state IN ('pending', 'unknown')
