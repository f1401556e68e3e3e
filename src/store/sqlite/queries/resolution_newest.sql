SELECT verdict, who, resolved_at FROM resolution
WHERE item = ?1 AND item_id = ?2 ORDER BY id DESC LIMIT 1
