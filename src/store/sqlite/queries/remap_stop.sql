-- The last step of a remap that a person stops where it is; nothing where it ended before.
INSERT INTO remap_step (remap_id, from_position, to_position, corrected_to, changed, left_alone,
  ended, who, why, made_at)
SELECT r.id, p.at, p.at, (SELECT c.position FROM watermark AS c WHERE c.room = 'corrections'), 0, 0,
  'stopped', ?2, ?3, ?4
FROM remap AS r CROSS JOIN (SELECT coalesce(max(s.to_position), 0) AS at FROM remap_step AS s
  WHERE s.remap_id = ?1) AS p
WHERE r.id = ?1 AND NOT EXISTS
  (SELECT 1 FROM remap_step AS s WHERE s.remap_id = ?1 AND s.ended IS NOT NULL)
