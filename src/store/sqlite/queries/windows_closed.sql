-- Those of some windows of which only closed periods are known, by their places in what came with
-- the call.
SELECT n.key AS place FROM json_each(?1) AS n
WHERE EXISTS (SELECT 1 FROM billing_period AS p
    WHERE p.provider = n.value ->> 0 AND p.account = n.value ->> 1 AND p.meter = n.value ->> 2
      AND p.start_at < n.value ->> 4 AND p.end_at > n.value ->> 3 AND p.closed_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM billing_period AS p
    WHERE p.provider = n.value ->> 0 AND p.account = n.value ->> 1 AND p.meter = n.value ->> 2
      AND p.start_at < n.value ->> 4 AND p.end_at > n.value ->> 3 AND p.closed_at IS NULL)
