-- How some balances fold. CROSS JOIN keeps the order, as elsewhere.
SELECT wanted.key AS place, b.fold
FROM json_each(?1) AS wanted
CROSS JOIN destination AS d ON d.provider = wanted.value ->> 0 AND d.meter = wanted.value ->> 1
CROSS JOIN balance AS b ON b.destination_id = d.id AND b.account = wanted.value ->> 2
  AND b.window_start = wanted.value ->> 4 AND b.window_end = wanted.value ->> 5
  AND b.record_position = wanted.value ->> 6 AND b.dimensions = wanted.value ->> 3
