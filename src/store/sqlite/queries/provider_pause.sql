INSERT INTO provider (name, pause_reason, paused_at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET pause_reason = excluded.pause_reason,
  paused_at = CASE WHEN pause_reason = excluded.pause_reason THEN paused_at
    ELSE excluded.paused_at END
