-- Gauges that a bound of these periods lies in, with the time that each told last, or else that was
-- told last within its window by another, or else that of its reading. CROSS JOIN keeps the order,
-- as elsewhere.
SELECT DISTINCT b.id, coalesce((SELECT max(e.occurred_at) FROM meter_event AS e
    WHERE e.balance_id = b.id
      AND e.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')),
  (SELECT e.occurred_at FROM lane AS l
    CROSS JOIN meter_event AS e INDEXED BY meter_event_time ON e.lane_id = l.id
    WHERE l.destination_id = b.destination_id AND l.account = b.account
      AND e.occurred_at >= b.window_start AND e.occurred_at < b.window_end
    ORDER BY e.occurred_at DESC LIMIT 1),
  b.stands_at, b.newest_at) AS told_at
FROM json_each(?1) AS n
CROSS JOIN destination AS d ON d.provider = n.value ->> 0 AND d.meter = n.value ->> 2
CROSS JOIN balance AS b ON b.destination_id = d.id AND b.account = n.value ->> 1
  AND b.window_start < n.value ->> 4 AND b.window_end > n.value ->> 3
WHERE b.fold = 'gauge' AND (b.window_start < n.value ->> 3 OR b.window_end > n.value ->> 4)
