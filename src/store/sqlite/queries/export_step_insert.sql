INSERT INTO export_step (export_id, step, files, digest, why, who, noted_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id
