-- Parkings made under an earlier mapping, each with the destinations its record is booked to, and
-- whether a remap took it away from there since.
SELECT p.route, r.position, r.source, r.id, r.customer, r.meter, r.quantity, r.occurred_at,
  r.properties,
  (SELECT json_group_array(json_array(d.provider, d.meter,
     (SELECT k.cause FROM booking AS k WHERE k.record_position = b.record_position
        AND k.destination_id = b.destination_id AND k.cause IN ('remap_from', 'remap_to')
      ORDER BY k.id DESC LIMIT 1) IS 'remap_from'))
   FROM booking AS b JOIN destination AS d ON d.id = b.destination_id
   WHERE b.record_position = p.record_position) AS booked
FROM parked_record AS p JOIN usage_record AS r ON r.position = p.record_position
WHERE p.mapping_version < ?1
ORDER BY p.mapping_version, p.record_position LIMIT ?2
