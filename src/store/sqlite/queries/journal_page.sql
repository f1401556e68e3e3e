SELECT position, source, id, customer, meter, quantity, occurred_at, recorded_at,
  properties
FROM usage_record WHERE position > ?1 ORDER BY position LIMIT ?2
