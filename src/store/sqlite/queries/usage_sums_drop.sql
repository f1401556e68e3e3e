DELETE FROM usage_sum WHERE (view_id, customer, grain, start_at, bucket, subscription) IN (
  SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
  FROM json_each(?1))
