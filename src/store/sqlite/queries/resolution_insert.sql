INSERT INTO resolution (item, item_id, verdict, quantity, why, who, resolved_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id
