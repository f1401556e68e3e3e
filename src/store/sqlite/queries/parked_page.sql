-- Parkings made under an earlier mapping, each with the destinations its record is booked to.
SELECT p.route, r.position, r.source, r.id, r.customer, r.meter, r.quantity, r.occurred_at,
  r.properties,
  (SELECT json_group_array(json_array(d.provider, d.meter))
   FROM booking AS b JOIN destination AS d ON d.id = b.destination_id
   WHERE b.record_position = p.record_position) AS booked
FROM parked_record AS p JOIN usage_record AS r ON r.position = p.record_position
WHERE p.mapping_version < ?1
ORDER BY p.mapping_version, p.record_position LIMIT ?2
