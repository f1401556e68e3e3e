-- Of these events, those that a file told and that a total was seen to contain, and whose period is
-- closed, with what its invoice bills. A period that still takes usage goes before a closed one.
SELECT e.id, l.id AS lane_id, p.start_at, p.end_at, p.closed_at, p.invoice, p.billed
FROM json_each(?1) AS n CROSS JOIN meter_event AS e ON e.id = n.value
CROSS JOIN lane AS l ON l.id = e.lane_id
CROSS JOIN destination AS d ON d.id = l.destination_id
CROSS JOIN billing_period AS p ON p.id = (SELECT q.id FROM billing_period AS q
  WHERE q.provider = l.provider AND q.account = l.account AND q.meter = d.meter
    AND q.start_at <= e.occurred_at AND q.end_at > e.occurred_at
  ORDER BY q.closed_at IS NOT NULL, q.closed_at DESC LIMIT 1)
WHERE e.attempts = 0 AND +e.state = 'settled' AND p.closed_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM export_event AS x WHERE x.event_id = e.id)
