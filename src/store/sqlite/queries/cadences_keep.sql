INSERT INTO cadence (kind, name, source, heard_at, gaps)
SELECT n.value ->> 0, n.value ->> 1, n.value ->> 2, n.value ->> 3, n.value ->> 4
FROM json_each(?1) AS n WHERE true
ON CONFLICT (kind, name) DO UPDATE SET source = excluded.source, heard_at = excluded.heard_at,
  gaps = excluded.gaps
