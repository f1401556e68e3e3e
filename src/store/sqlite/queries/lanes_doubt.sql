-- Lanes in which something may have been rejected that nobody named: they are compared next.
UPDATE lane SET checked_at = NULL WHERE id IN (SELECT l.id FROM destination AS d
  CROSS JOIN lane AS l ON l.destination_id = d.id
  WHERE d.provider = ?1 AND d.meter = coalesce(?2, d.meter)
    AND EXISTS (SELECT 1 FROM meter_event AS e WHERE e.lane_id = l.id AND e.state = 'accepted'
      AND e.last_attempt_at >= ?3 AND e.last_attempt_at < ?4))
