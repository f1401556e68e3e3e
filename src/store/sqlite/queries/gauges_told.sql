-- Of gauges, the newest time within their windows that their lanes told, or may have told,
-- whichever balance that is of; and what was told of one as it was part of another, while that
-- counts as told. CROSS JOIN keeps the order, as elsewhere; the subquery reads one lane from its
-- newest event on.
SELECT b.id AS balance_id, (SELECT e.occurred_at FROM lane AS l
  CROSS JOIN meter_event AS e INDEXED BY meter_event_time ON e.lane_id = l.id
  WHERE l.destination_id = b.destination_id AND l.account = b.account
    AND e.occurred_at >= b.window_start AND e.occurred_at < b.window_end
    AND (e.attempts > 0 OR e.ambiguous = 1) AND e.state <> 'void'
    AND (e.ambiguous = 1 OR e.state NOT IN ('held', 'superseded', 'dead'))
  ORDER BY e.occurred_at DESC LIMIT 1) AS told_at, s.occurred_at AS said_at, s.total AS said
FROM json_each(?1) AS wanted CROSS JOIN balance AS b ON b.id = wanted.value
LEFT JOIN meter_event AS s ON s.id = b.said_by
  AND s.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')
WHERE b.fold = 'gauge'
