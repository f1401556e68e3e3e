INSERT INTO usage_sum (view_id, customer, grain, start_at, bucket, subscription, quantity, records)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7
FROM json_each(?1) WHERE true ON CONFLICT DO UPDATE
SET quantity = excluded.quantity, records = excluded.records
