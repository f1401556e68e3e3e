DELETE FROM billing_period WHERE id IN (SELECT value FROM json_each(?1))
