-- The newest record of a gauge's window that the event said which says the gauge: all its records
-- may have counted no longer before it was a part by itself.
SELECT k.record_position, k.route_version_id, r.identity, r.occurred_at
FROM balance AS b NOT INDEXED
CROSS JOIN meter_event AS e ON e.id = b.said_by
CROSS JOIN booking AS k ON k.balance_id = e.balance_id AND k.id <= e.covers_to
CROSS JOIN usage_record AS r ON r.position = k.record_position
WHERE b.id = ?1 AND r.occurred_at >= b.window_start AND r.occurred_at < b.window_end
ORDER BY r.occurred_at DESC, k.record_position DESC LIMIT 1
