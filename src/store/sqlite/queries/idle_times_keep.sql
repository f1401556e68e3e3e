INSERT INTO idle_time (provider, account, start_at, subscription_id, end_at)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?2) WHERE true
ON CONFLICT (provider, account, start_at, subscription_id) DO UPDATE SET end_at = excluded.end_at
