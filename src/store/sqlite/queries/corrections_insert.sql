INSERT INTO correction (id, identity, source, record_id, name, kind, quantity, replaces, reason,
  who, recorded_at)
SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, value ->> 8, value ->> 9, ?2
FROM json_each(?1)
