DELETE FROM usage_sum WHERE (view_id, customer, grain, start_at, bucket, subscription) IN (
  SELECT s.view_id, s.customer, s.grain, s.start_at, s.bucket, s.subscription
  FROM usage_view AS v CROSS JOIN usage_sum AS s ON s.view_id = v.id
  WHERE v.is_retired = 1 LIMIT ?1)
