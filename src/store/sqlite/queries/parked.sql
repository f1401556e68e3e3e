SELECT p.route, p.reason, p.detail, r.meter, r.customer, r.quantity
FROM parked_record AS p JOIN usage_record AS r ON r.position = p.record_position
