UPDATE meter_event SET state = 'held', moved_at = ?2, why = n.value ->> 1,
  hold_reason = n.value ->> 1, hold_detail = n.value ->> 2, next_attempt_at = NULL
FROM json_each(?1) AS n WHERE meter_event.id = n.value ->> 0
RETURNING meter_event.balance_id
