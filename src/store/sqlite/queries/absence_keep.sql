INSERT INTO absence (start_at, end_at) VALUES (?1, ?2)
ON CONFLICT (start_at) DO UPDATE SET end_at = max(end_at, excluded.end_at)
