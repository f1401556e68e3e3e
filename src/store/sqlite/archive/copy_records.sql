INSERT INTO copy.usage_record (position, identity, content, source, id, customer, meter, quantity,
  occurred_at, recorded_at, properties)
SELECT position, identity, content, source, id, customer, meter, quantity, occurred_at, recorded_at,
  properties
FROM main.usage_record WHERE position IN (SELECT record_position FROM copy.booking)
ORDER BY position
