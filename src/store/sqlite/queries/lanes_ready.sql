-- The lanes that may send now, most urgent first, each with the event that goes next in it, and
-- the period that bills it; where the provider has a lane an account (?4), none whose account is
-- being told something. The plus leaves the index that has a lane's events in the order in
-- which they go, so that none is sorted.
SELECT e.id, e.lane_id, e.identifier, t.identifier AS target, e.generation, e.attempts, e.failures,
  d.meter, l.account, e.body, e.ambiguous, e.first_attempt_at, e.deadline_at, e.occurred_at,
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
     AND (i.end_at IS NULL OR i.end_at > e.occurred_at)) AS idle_since,
  (SELECT m.active FROM provider_meter AS m
   WHERE m.provider = l.provider AND m.meter = d.meter) AS active
FROM lane AS l
JOIN destination AS d ON d.id = l.destination_id
JOIN meter_event AS e ON e.id = (SELECT w.id FROM meter_event AS w
  WHERE w.lane_id = l.id AND w.state IN ('pending', 'unknown') AND +w.next_attempt_at <= ?2
  ORDER BY w.ambiguous DESC, w.deadline_at, w.id LIMIT 1)
LEFT JOIN meter_event AS t ON t.id = e.target_id
LEFT JOIN billing_period AS p ON p.id = (SELECT q.id FROM billing_period AS q
  WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter
    AND q.start_at <= e.occurred_at AND q.end_at > e.occurred_at
  ORDER BY q.closed_at IS NOT NULL, q.closes_at IS NOT NULL, q.closes_at DESC LIMIT 1)
WHERE l.provider = ?1 AND l.event_id IS NULL AND l.next_attempt_at IS NOT NULL
  AND l.next_attempt_at <= ?2
  AND (?4 = 0 OR NOT EXISTS (SELECT 1 FROM lane AS o
    WHERE o.provider = l.provider AND o.account = l.account AND o.event_id IS NOT NULL))
ORDER BY l.urgency, l.deadline_at LIMIT ?3
