UPDATE rejected_record SET ended = ?2, position = ?3, why = ?4, who = ?5, ended_at = ?6
WHERE id = ?1
