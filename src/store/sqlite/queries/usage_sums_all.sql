SELECT customer, grain, start_at, bucket, subscription, quantity, records FROM usage_sum
WHERE view_id = ?1
