-- Readings never go back: an answer that was overtaken says nothing new.
INSERT INTO provider (name, clock_provider_at, clock_local_at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET clock_provider_at = excluded.clock_provider_at,
  clock_local_at = excluded.clock_local_at
WHERE clock_provider_at IS NULL OR clock_provider_at <= excluded.clock_provider_at
