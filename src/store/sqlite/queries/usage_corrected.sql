-- Records that a view counted, and that were corrected since, of one customer.
SELECT DISTINCT r.position, r.source, r.id, r.customer, r.meter, r.quantity, r.occurred_at,
  r.properties
FROM correction AS c CROSS JOIN usage_record AS r ON r.identity = c.identity
WHERE c.id > ?1 AND r.position <= ?2 AND r.customer = ?3 AND r.meter = ?4 ORDER BY r.position
