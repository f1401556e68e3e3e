SELECT min(next_attempt_at) AS next_attempt_at FROM lane
WHERE provider = ?1 AND event_id IS NULL AND next_attempt_at IS NOT NULL
