-- What the lane of a gauge was told within a window, or may have been, oldest first.
SELECT e.id, e.occurred_at FROM balance AS b
CROSS JOIN lane AS l ON l.destination_id = b.destination_id AND l.account = b.account
CROSS JOIN meter_event AS e ON e.lane_id = l.id AND e.occurred_at >= ?2 AND e.occurred_at < ?3
WHERE b.id = ?1 AND e.state <> 'void'
ORDER BY e.occurred_at, e.id
