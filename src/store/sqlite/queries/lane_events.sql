-- What a lane's events of a span say, each with the cancel of it that lives. A gauge's event may be
-- of a time that is another's by now: of the period that one has.
SELECT e.id, e.balance_id, coalesce(g.window_start, b.window_start) AS window_start,
  coalesce(g.window_end, b.window_end) AS window_end, e.quantity, e.occurred_at, e.state,
  e.ambiguous, e.hold_reason, iif(b.fold = 'gauge', e.total, NULL) AS level,
  e.attempts, coalesce(e.last_attempt_at, e.moved_at) AS last_at, c.id AS cancel_id,
  c.state AS cancel_state, c.ambiguous AS cancel_ambiguous, c.hold_reason AS cancel_hold_reason,
  c.attempts AS cancel_attempts, coalesce(c.last_attempt_at, c.moved_at) AS cancel_last_at
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
LEFT JOIN balance AS g ON g.id = iif(b.fold = 'gauge', (SELECT o.id
  FROM balance AS o INDEXED BY balance_gauge
  WHERE o.destination_id = b.destination_id AND o.account = b.account AND o.fold = 'gauge'
    AND o.window_start <= e.occurred_at AND o.window_end > e.occurred_at
  ORDER BY o.window_end - o.window_start LIMIT 1), NULL)
LEFT JOIN meter_event AS c ON c.target_id = e.id
  AND c.state NOT IN ('void', 'superseded', 'dead')
WHERE e.lane_id = ?1 AND e.occurred_at >= ?2 AND e.occurred_at < ?3 AND e.kind = 'usage'
ORDER BY e.occurred_at, e.id LIMIT ?4
