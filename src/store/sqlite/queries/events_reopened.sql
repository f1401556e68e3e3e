-- Events that were held for their period, never left, and whose period takes usage after all.
SELECT e.id FROM json_each(?1) AS n
  CROSS JOIN destination AS d ON d.provider = n.value ->> 0 AND d.meter = n.value ->> 2
  CROSS JOIN lane AS l ON l.destination_id = d.id AND l.account = n.value ->> 1
  CROSS JOIN meter_event AS e ON e.lane_id = l.id AND e.occurred_at >= n.value ->> 3
    AND e.occurred_at < n.value ->> 4 AND e.state = 'held'
WHERE e.hold_reason IN ('late_for_period', 'no_period') AND e.ambiguous = 0
