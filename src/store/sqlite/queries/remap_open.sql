-- The oldest remap that no step ended, how far it is, and the number of the next step of any.
SELECT r.id, r.source, r.customer, r.meter, r.from_at, r.until_at, r.mapping_version, r.to_position,
  coalesce((SELECT max(s.to_position) FROM remap_step AS s WHERE s.remap_id = r.id), 0) AS at,
  (SELECT coalesce(max(id), 0) + 1 FROM remap_step) AS step,
  EXISTS (SELECT 1 FROM ledger AS l WHERE l.restored_at >= r.asked_at) AS is_restored
FROM remap AS r
WHERE NOT EXISTS
  (SELECT 1 FROM remap_step AS s WHERE s.remap_id = r.id AND s.ended IS NOT NULL)
ORDER BY r.id LIMIT 1
