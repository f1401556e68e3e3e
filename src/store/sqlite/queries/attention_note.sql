INSERT INTO attention (one, noted_at) VALUES (1, ?1)
ON CONFLICT (one) DO UPDATE SET noted_at = excluded.noted_at
