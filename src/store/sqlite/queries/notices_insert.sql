INSERT INTO notice (id, provider, event, announcement, kind, created_at, livemode, object_kind,
  object_id, came_by, body, received_at, state, why, duplicates)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7, value ->> 8, value ->> 9, value ->> 10, ?2, 'waiting', 'it was not looked at yet', 0
FROM json_each(?1)
