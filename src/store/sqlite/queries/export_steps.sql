SELECT export_id, step, files, digest, why, who, noted_at FROM export_step
WHERE export_id IN (SELECT value FROM json_each(?1)) ORDER BY id
