INSERT INTO attempt (id, event_id, number, idempotency_key, epoch, begun_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2, ?3 FROM json_each(?1)
