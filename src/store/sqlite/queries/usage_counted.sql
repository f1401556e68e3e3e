SELECT position, source, id, customer, meter, quantity, occurred_at, properties
FROM usage_record WHERE meter = ?1 AND position <= ?2
