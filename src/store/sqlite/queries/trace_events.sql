-- The events of a balance that cover one of its bookings.
SELECT id, identifier, state, hold_reason, hold_detail, quantity, occurred_at FROM meter_event
WHERE balance_id = ?1 AND covers_from < ?2 AND ?2 <= covers_to ORDER BY ordinal
