SELECT position, source, id, customer, meter, quantity, occurred_at, recorded_at, properties
FROM usage_record WHERE identity = ?1
