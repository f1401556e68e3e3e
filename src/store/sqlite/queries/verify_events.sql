SELECT balance_id, state, quantity, attempts FROM meter_event
