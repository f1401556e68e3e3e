UPDATE subscription SET asked_at = ?2 WHERE id IN (SELECT value FROM json_each(?1))
