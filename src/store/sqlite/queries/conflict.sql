SELECT c.id, c.customer, c.meter, c.quantity, c.occurred_at, c.properties, c.recorded_at, c.decided,
  c.source, c.record_id, r.customer AS first_customer, r.meter AS first_meter,
  r.quantity AS first_quantity, r.occurred_at AS first_occurred_at,
  r.properties AS first_properties
FROM conflicting_record AS c LEFT JOIN usage_record AS r ON r.position = c.position
WHERE c.id = ?1
