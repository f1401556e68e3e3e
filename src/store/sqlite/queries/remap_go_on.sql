-- One more step, if the remap is where it was read.
INSERT INTO remap_step (id, remap_id, from_position, to_position, corrected_to, changed, left_alone,
  ended, made_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
WHERE ?3 = coalesce((SELECT max(s.to_position) FROM remap_step AS s WHERE s.remap_id = ?2), 0)
  AND ?5 = (SELECT c.position FROM watermark AS c WHERE c.room = 'corrections')
  AND NOT EXISTS (SELECT 1 FROM remap_step AS s WHERE s.remap_id = ?2 AND s.ended IS NOT NULL)
  -- Another remap may have been ended meanwhile, which took the number.
  AND NOT EXISTS (SELECT 1 FROM remap_step AS s WHERE s.id = ?1)
