SELECT balance_id, state, quantity FROM meter_event
