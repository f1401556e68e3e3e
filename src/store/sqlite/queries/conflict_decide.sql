UPDATE conflicting_record SET decided = ?2 WHERE id = ?1
