-- What waits for a draft, and for longer than the draft takes it. CROSS JOIN keeps the order.
SELECT e.id, e.lane_id, n.value ->> 6 AS last FROM json_each(?1) AS n
  CROSS JOIN destination AS d ON d.provider = n.value ->> 0 AND d.meter = n.value ->> 2
  CROSS JOIN lane AS l ON l.destination_id = d.id AND l.account = n.value ->> 1
  CROSS JOIN meter_event AS e ON e.lane_id = l.id AND e.occurred_at >= n.value ->> 3
    AND e.occurred_at < n.value ->> 4
WHERE n.value ->> 5 = 1 AND e.state IN ('pending', 'unknown') AND e.deadline_at > n.value ->> 6
