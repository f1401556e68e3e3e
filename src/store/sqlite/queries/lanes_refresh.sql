-- What waits in a lane: the earliest next try, and the urgency and deadline of what goes next.
UPDATE lane SET
  next_attempt_at = (SELECT min(e.next_attempt_at) FROM meter_event AS e
    WHERE e.lane_id = lane.id AND e.state IN ('pending', 'unknown')),
  urgency = (SELECT 1 - e.ambiguous FROM meter_event AS e
    WHERE e.lane_id = lane.id AND e.state IN ('pending', 'unknown')
    ORDER BY e.ambiguous DESC, e.deadline_at, e.id LIMIT 1),
  deadline_at = (SELECT e.deadline_at FROM meter_event AS e
    WHERE e.lane_id = lane.id AND e.state IN ('pending', 'unknown')
    ORDER BY e.ambiguous DESC, e.deadline_at, e.id LIMIT 1)
WHERE id IN (SELECT value FROM json_each(?1))
