SELECT p.route, p.reason, r.customer, r.meter, r.quantity, r.source, r.id
FROM parked_record AS p CROSS JOIN usage_record AS r ON r.position = p.record_position
WHERE r.occurred_at >= ?1 AND r.occurred_at < ?2
ORDER BY p.record_position
