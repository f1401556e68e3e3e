-- The silence of each is told since now (1), or no longer (0).
UPDATE cadence SET told_at = CASE n.value ->> 2 WHEN 1 THEN ?2 END
FROM json_each(?1) AS n WHERE cadence.kind = n.value ->> 0 AND cadence.name = n.value ->> 1
