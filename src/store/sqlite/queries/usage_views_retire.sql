UPDATE usage_view SET is_retired = 1 WHERE is_retired = 0 AND NOT EXISTS (
  SELECT 1 FROM json_each(?1) AS wanted WHERE wanted.value ->> 0 = meter
  AND wanted.value ->> 1 = bucket AND wanted.value ->> 2 = subscription
  AND wanted.value ->> 3 = is_timed)
