SELECT position, identity, content, source, id, customer, meter, quantity, occurred_at, properties
FROM usage_record ORDER BY position
