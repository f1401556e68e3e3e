-- Events that wait to be told to a provider, lane by lane and in each by their deadlines, with how
-- their usage is billed. The index is named, as the engine would read all events that a lane ever
-- had; and a lane is looked at only when something waits in it.
SELECT e.id, e.lane_id, e.kind, e.identifier, e.quantity, e.occurred_at, e.deadline_at, e.body,
  e.attempts > 0 OR e.generation > 1 AS tried, l.account, d.meter, m.id AS pin_id, m.formula,
  m.customer_key, m.value_key, m.span, m.active, m.learned,
  p.end_at AS ends_at, p.closes_at, p.closed_at,
  iif(p.id IS NULL, (SELECT min(s.started_at) FROM billing_period AS q JOIN subscription AS s
     ON s.id = q.subscription_id
   WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter), NULL)
   AS billed_from,
  iif(p.id IS NULL, (SELECT iif(max(s.status = 'billing') = 1, NULL, max(q.end_at))
   FROM billing_period AS q JOIN subscription AS s ON s.id = q.subscription_id
   WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter), NULL)
   AS billed_until,
  iif(p.id IS NULL, (SELECT max(q.end_at) FROM billing_period AS q
   WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter
     AND q.start_at <= e.occurred_at), NULL) AS known_until,
  iif(p.id IS NULL, (SELECT min(q.start_at) FROM billing_period AS q
   WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter
     AND q.start_at > e.occurred_at), NULL) AS known_from,
  (SELECT max(i.start_at) FROM idle_time AS i WHERE i.provider = l.provider
     AND i.account = l.account AND i.start_at <= e.occurred_at
     AND (i.end_at IS NULL OR i.end_at > e.occurred_at)) AS idle_since
FROM lane AS l
CROSS JOIN destination AS d ON d.id = l.destination_id
CROSS JOIN meter_event AS e INDEXED BY meter_event_waits ON e.lane_id = l.id
LEFT JOIN provider_meter AS m ON m.provider = l.provider AND m.meter = d.meter
LEFT JOIN billing_period AS p ON p.id = (SELECT q.id FROM billing_period AS q
  WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter
    AND q.start_at <= e.occurred_at AND q.end_at > e.occurred_at
  ORDER BY q.closed_at IS NOT NULL, q.closes_at IS NOT NULL, q.closes_at DESC LIMIT 1)
WHERE l.provider = ?1 AND l.id >= ?2 AND l.next_attempt_at IS NOT NULL
  AND e.state IN ('pending', 'unknown') AND e.ambiguous = 0
  AND (l.id > ?2 OR e.deadline_at > ?3 OR (e.deadline_at = ?3 AND e.id > ?4))
  AND (?5 = '[]' OR d.meter IN (SELECT value FROM json_each(?5)))
  AND (?6 IS NULL OR e.occurred_at < ?6)
ORDER BY l.id, e.deadline_at, e.id LIMIT ?7
