-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT wanted.key AS place, p.start_at, p.end_at
FROM json_each(?1) AS wanted CROSS JOIN billing_period AS p
  ON p.provider = wanted.value ->> 0 AND p.account = wanted.value ->> 1
  AND p.meter = wanted.value ->> 2
UNION ALL
SELECT wanted.key, i.start_at, coalesce(i.end_at, i.start_at)
FROM json_each(?1) AS wanted CROSS JOIN idle_time AS i
  ON i.provider = wanted.value ->> 0 AND i.account = wanted.value ->> 1
UNION ALL
-- What gauges were cut at once stays a bound of them: no two of them hold the same instant.
SELECT wanted.key, b.window_start, b.window_end
FROM json_each(?1) AS wanted
CROSS JOIN destination AS d ON d.provider = wanted.value ->> 0 AND d.meter = wanted.value ->> 2
CROSS JOIN balance AS b ON b.destination_id = d.id AND b.account = wanted.value ->> 1
WHERE b.fold = 'gauge'
