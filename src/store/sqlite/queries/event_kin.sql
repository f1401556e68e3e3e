-- The cancels of an event that go with it, and what the event cancels.
SELECT id, state, quantity, 1 AS is_cancel FROM meter_event
WHERE target_id = ?1 AND state NOT IN ('void', 'superseded', 'dead')
UNION ALL
SELECT target.id, target.state, target.quantity, 0 AS is_cancel
FROM meter_event AS cancel CROSS JOIN meter_event AS target ON target.id = cancel.target_id
WHERE cancel.id = ?1
