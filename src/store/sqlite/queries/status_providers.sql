SELECT name, account, livemode, pause_reason, paused_at FROM provider ORDER BY name
