INSERT INTO balance_member (balance_id, member, level)
SELECT value ->> 0, unhex(value ->> 1), value ->> 2 FROM json_each(?1) WHERE true
ON CONFLICT (balance_id, member) DO UPDATE SET level = excluded.level
