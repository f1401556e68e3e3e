SELECT account, livemode, clock_provider_at, clock_local_at, pause_reason, paused_at
FROM provider WHERE name = ?1
