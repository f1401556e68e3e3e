SELECT 'lane ' || l.id AS row FROM lane AS l
WHERE l.event_id IS NULL AND l.next_attempt_at IS NOT
  (SELECT min(e.next_attempt_at) FROM meter_event AS e
    WHERE e.lane_id = l.id AND e.state IN ('pending', 'unknown'))
LIMIT 20
