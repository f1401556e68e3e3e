INSERT INTO conflicting_record (position, content, customer, meter, quantity, occurred_at,
  properties, recorded_at, source, record_id)
SELECT value ->> 0, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, value ->> 8, value ->> 9
FROM json_each(?1) WHERE true
ON CONFLICT (position, content) DO NOTHING
