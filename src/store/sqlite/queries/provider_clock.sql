-- What an answer brought along never goes back: an answer that was overtaken says nothing new. A
-- reading that was asked for stands as it is, or one wrong date would be believed until time has
-- passed it.
INSERT INTO provider (name, clock_provider_at, clock_local_at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET clock_provider_at = excluded.clock_provider_at,
  clock_local_at = excluded.clock_local_at
WHERE ?4 OR clock_provider_at IS NULL OR clock_provider_at <= excluded.clock_provider_at
