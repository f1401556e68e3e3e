SELECT balance_id, state, quantity, attempts, kind = 'cancel' AS cancels FROM meter_event
