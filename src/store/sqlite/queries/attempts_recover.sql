-- A next try that lies further ahead than any wait can was written by a clock that was ahead.
UPDATE meter_event SET next_attempt_at = ?1
WHERE state IN ('pending', 'unknown') AND next_attempt_at > ?2
RETURNING lane_id
