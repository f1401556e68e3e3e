-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
INSERT INTO balance (provider, destination_id, account, dimensions, window_start, window_end,
  record_position, accrued, told, digest, newest_at, booked_to, told_to, events, version,
  finer, fold, reads)
SELECT value ->> 0, d.id, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  '0', '0', zeroblob(16), value ->> 4, 0, 0, 0, 0, '0', value ->> 7, 0
FROM json_each(?1) CROSS JOIN destination AS d
  ON d.provider = value ->> 0 AND d.meter = value ->> 1
WHERE true
ON CONFLICT (destination_id, account, window_start, window_end, record_position, dimensions)
DO NOTHING
