UPDATE usage_view SET position = ?2, corrected_to = ?3
WHERE id IN (SELECT value FROM json_each(?1)) AND position = ?4 AND corrected_to = ?5
  AND is_retired = 0
