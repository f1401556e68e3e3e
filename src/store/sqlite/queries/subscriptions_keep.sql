INSERT INTO subscription (provider, name, account, status, started_at, ended_at, ends_at,
  learned_at)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?3
FROM json_each(?2) WHERE true
ON CONFLICT (provider, name) DO UPDATE SET account = excluded.account, status = excluded.status,
  started_at = excluded.started_at, ended_at = excluded.ended_at, ends_at = excluded.ends_at,
  learned_at = excluded.learned_at
