INSERT INTO read_calls (provider, day, calls) VALUES (?1, ?2, ?3)
ON CONFLICT (provider, day) DO UPDATE SET calls = calls + excluded.calls
