-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows. What
-- says the same as the newest of its span adds nothing, unless it is marked to be kept.
INSERT INTO foreign_total
  (provider, account, meter, kind, start_at, end_at, low, high, provider_at, read_at)
SELECT ?1, n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4,
  n.value ->> 5, n.value ->> 6, n.value ->> 7, ?3
FROM json_each(?2) AS n
WHERE n.value ->> 8 = 1 OR coalesce((SELECT f.low <> n.value ->> 5 FROM foreign_total AS f
  WHERE f.provider = ?1 AND f.account = n.value ->> 0 AND f.meter = n.value ->> 1
    AND f.kind = n.value ->> 2 AND f.start_at = n.value ->> 3 ORDER BY f.id DESC LIMIT 1), 1)
ON CONFLICT DO NOTHING
