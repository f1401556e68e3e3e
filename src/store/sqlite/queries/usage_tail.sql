-- What a view has not counted yet, of one customer.
SELECT position, source, id, customer, meter, quantity, occurred_at, properties
FROM usage_record WHERE position > ?1 AND customer = ?2 AND meter = ?3 ORDER BY position
