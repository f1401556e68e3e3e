-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT wanted.key AS place, p.start_at, p.end_at
FROM json_each(?1) AS wanted CROSS JOIN billing_period AS p
  ON p.provider = wanted.value ->> 0 AND p.account = wanted.value ->> 1
  AND p.meter = wanted.value ->> 2
UNION ALL
SELECT wanted.key, i.start_at, coalesce(i.end_at, i.start_at)
FROM json_each(?1) AS wanted CROSS JOIN idle_time AS i
  ON i.provider = wanted.value ->> 0 AND i.account = wanted.value ->> 1
