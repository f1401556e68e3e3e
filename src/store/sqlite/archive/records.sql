SELECT position, identity, content, source, id, customer, meter, quantity, occurred_at, recorded_at,
  properties
FROM main.usage_record ORDER BY position
