INSERT INTO route_version (name, definition, applies_from, adopted_at)
SELECT wanted.value ->> 0, wanted.value ->> 1,
  (SELECT position + 1 FROM watermark WHERE room = 'accrual'), ?2
FROM json_each(?1) AS wanted
WHERE NOT EXISTS (SELECT 1 FROM route_version AS r
  WHERE r.name = wanted.value ->> 0 AND r.retired_at IS NULL)
