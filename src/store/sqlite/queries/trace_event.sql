SELECT id, target_id, identifier, state, hold_reason, hold_detail, quantity, occurred_at
FROM meter_event WHERE id = ?1
