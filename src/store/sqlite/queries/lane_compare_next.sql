UPDATE lane SET checked_at = NULL, check_grouping = ?2 WHERE id = ?1
