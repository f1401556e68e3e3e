UPDATE meter_event SET state = 'void', moved_at = ?2, why = 'withdrawn before it was sent',
  next_attempt_at = NULL
WHERE id IN (SELECT value FROM json_each(?1)) AND state = 'pending' AND attempts = 0
RETURNING id, lane_id, balance_id, covers_from, quantity
