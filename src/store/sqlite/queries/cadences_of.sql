SELECT c.kind, c.name, c.source, c.heard_at, c.gaps, c.told_at
FROM json_each(?1) AS n JOIN cadence AS c ON c.kind = n.value ->> 0 AND c.name = n.value ->> 1
