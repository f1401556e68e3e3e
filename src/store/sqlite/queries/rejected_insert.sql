INSERT INTO rejected_record (digest, source, spoke_for, record_id, place, field, reason, raw, form,
  whole, recorded_at)
SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10
FROM json_each(?1) WHERE true
ON CONFLICT (digest) DO NOTHING
