SELECT DISTINCT p.start_at, p.end_at
FROM json_each(?1) AS wanted CROSS JOIN billing_period AS p
  ON p.provider = wanted.value ->> 0 AND p.account = wanted.value ->> 1
  AND p.meter = wanted.value ->> 2
WHERE p.start_at <= ?2 AND p.end_at > ?2
