-- Balances that are due, with what is known of how their newest usage is billed. Of two periods
-- that hold it, the one that takes it for longer counts.
SELECT b.id, b.provider, d.meter, b.account, b.dimensions, b.window_start, b.window_end,
  b.record_position, b.accrued, b.told, b.digest, b.newest_at, b.booked_to, b.told_to, b.events,
  b.version, b.fold, b.reads, b.stands_at, b.due_at, p.start_at AS starts_at, p.end_at AS ends_at,
  p.closes_at, p.closed_at,
  o.start_at AS next_start, o.end_at AS next_end,
  (SELECT min(s.started_at) FROM billing_period AS q JOIN subscription AS s
     ON s.id = q.subscription_id
   WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter) AS billed_from,
  (SELECT iif(max(s.status = 'billing') = 1, NULL, max(q.end_at))
   FROM billing_period AS q JOIN subscription AS s ON s.id = q.subscription_id
   WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter) AS billed_until,
  iif(p.id IS NULL, (SELECT max(q.end_at) FROM billing_period AS q
   WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter
     AND q.start_at <= b.newest_at), NULL) AS known_until,
  iif(p.id IS NULL, (SELECT min(q.start_at) FROM billing_period AS q
   WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter
     AND q.start_at > b.newest_at), NULL) AS known_from,
  (SELECT max(i.start_at) FROM idle_time AS i WHERE i.provider = b.provider
     AND i.account = b.account AND i.start_at <= b.newest_at
     AND (i.end_at IS NULL OR i.end_at > b.newest_at)) AS idle_since,
  b.record_position = 0 AND (b.accrued <> '0' OR b.reads = 1 OR b.fold = 'gauge')
   AND (EXISTS (SELECT 1 FROM billing_period AS q
   WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter
     AND ((q.start_at > b.window_start AND q.start_at < b.window_end)
       OR (q.end_at > b.window_start AND q.end_at < b.window_end)))
   OR EXISTS (SELECT 1 FROM idle_time AS i
   WHERE i.provider = b.provider AND i.account = b.account
     AND ((i.start_at > b.window_start AND i.start_at < b.window_end)
       OR (i.end_at > b.window_start AND i.end_at < b.window_end)))) AS spans_bound,
  (SELECT r.quantity FROM resolution AS r WHERE r.item = 'balance' AND r.item_id = b.id
     AND r.verdict = 'confirmed' ORDER BY r.id DESC LIMIT 1) AS confirmed
FROM balance AS b JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN billing_period AS p ON p.id = (SELECT q.id FROM billing_period AS q
  WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter
    AND q.start_at <= b.newest_at AND q.end_at > b.newest_at
  ORDER BY q.closed_at IS NOT NULL, q.closes_at IS NOT NULL, q.closes_at DESC LIMIT 1)
LEFT JOIN billing_period AS o ON o.id = (SELECT q.id FROM billing_period AS q
  WHERE q.provider = b.provider AND q.account = b.account AND q.meter = d.meter
    AND q.start_at >= p.end_at AND q.closed_at IS NULL ORDER BY q.start_at LIMIT 1)
WHERE b.provider = ?1 AND b.due_at <= ?2 ORDER BY b.due_at LIMIT ?3
