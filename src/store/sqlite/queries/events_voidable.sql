SELECT id FROM meter_event
WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'pending' AND attempts = 0
