INSERT INTO rejected_record (digest, source, record_id, place, field, reason, raw, recorded_at)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7
FROM json_each(?1) WHERE true
ON CONFLICT (digest) DO NOTHING
