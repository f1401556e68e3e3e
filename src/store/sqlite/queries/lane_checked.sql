UPDATE lane SET checked_at = ?2, check_grouping = ?3 WHERE id = ?1
