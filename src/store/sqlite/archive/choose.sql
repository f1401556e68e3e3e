-- The balances whose bookings may go: sums, all told, all of it final, of windows that ended before
-- ?1 and of periods whose bills were compared. What was carried to another window, written off, or
-- found at the provider stays, as later bookings refer to it.
INSERT INTO copy.balance (id, provider, meter, account, dimensions, window_start, window_end,
  accrued, told, digest, booked_to, events)
SELECT b.id, b.provider, d.meter, b.account, b.dimensions, b.window_start, b.window_end, b.accrued,
  b.told, b.digest, b.booked_to, b.events
FROM main.balance AS b JOIN main.destination AS d ON d.id = b.destination_id
WHERE b.window_end <= ?1 AND b.fold = 'sum' AND b.accrued = b.told AND b.due_at IS NULL
  AND EXISTS (SELECT 1 FROM main.booking AS k WHERE k.balance_id = b.id)
  AND NOT EXISTS (SELECT 1 FROM main.booking AS k
    WHERE k.balance_id = b.id AND k.cause NOT IN ('record', 'correction'))
  AND NOT EXISTS (SELECT 1 FROM main.balance_hold AS h WHERE h.balance_id = b.id)
  AND NOT EXISTS (SELECT 1 FROM main.meter_event AS e WHERE e.balance_id = b.id
    AND e.state NOT IN ('settled', 'void')
    AND NOT (e.state IN ('superseded', 'dead') AND e.ambiguous = 0))
  AND NOT EXISTS (SELECT 1 FROM main.billing_period AS p
    WHERE p.provider = b.provider AND p.account = b.account AND p.meter = d.meter
    AND p.start_at < b.window_end AND p.end_at > b.window_start
    AND (p.closed_at IS NULL OR p.compared_at IS NULL))
