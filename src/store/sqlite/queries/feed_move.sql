INSERT INTO feed (provider, name, read_to, read_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (provider, name) DO UPDATE SET read_to = excluded.read_to, read_at = excluded.read_at
