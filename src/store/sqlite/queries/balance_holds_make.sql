INSERT INTO balance_hold (balance_id, reason, detail, since)
SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM json_each(?1) WHERE true
ON CONFLICT (balance_id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail
