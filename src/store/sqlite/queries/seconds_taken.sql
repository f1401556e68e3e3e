-- Seconds of the windows of some balances at which their lanes have an entry, whichever balance it
-- is of: windows of one lane overlap where a route's window was changed, or usage was carried.
-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT b.id AS balance_id, e.second
FROM json_each(?1) AS wanted CROSS JOIN balance AS b ON b.id = wanted.value
CROSS JOIN lane AS l ON l.destination_id = b.destination_id AND l.account = b.account
CROSS JOIN meter_event AS e ON e.lane_id = l.id
  AND e.second BETWEEN b.window_start / 1000000 AND b.window_end / 1000000
