UPDATE lane SET event_id = NULL WHERE id IN (SELECT value FROM json_each(?1))
