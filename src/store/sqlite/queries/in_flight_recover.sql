-- Leases of earlier runs: perhaps sent. They go again first.
UPDATE meter_event SET state = 'unknown', ambiguous = 1, moved_at = ?1,
  why = 'the process that leased it ended', next_attempt_at = ?1, epoch = NULL, attempt_id = NULL
WHERE state = 'in_flight' AND epoch <> ?2
RETURNING lane_id
