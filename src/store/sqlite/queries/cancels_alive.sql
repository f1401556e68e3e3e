-- The cancels of an event that go with it.
SELECT id, state, quantity FROM meter_event
WHERE target_id = ?1 AND state NOT IN ('void', 'superseded', 'dead')
