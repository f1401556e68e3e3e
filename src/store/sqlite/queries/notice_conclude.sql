UPDATE notice SET state = ?2, why = ?3, concluded_at = ?4 WHERE id = ?1 AND state = 'waiting'
