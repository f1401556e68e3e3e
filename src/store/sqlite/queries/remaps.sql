-- What stands of the newest remaps.
SELECT r.id, r.who, r.why, r.asked_at, r.to_position,
  coalesce(max(s.to_position), 0) AS at, coalesce(sum(s.changed), 0) AS changed,
  coalesce(sum(s.left_alone), 0) AS left_alone, max(s.ended) AS ended
FROM remap AS r LEFT JOIN remap_step AS s ON s.remap_id = r.id
GROUP BY r.id ORDER BY r.id DESC LIMIT ?1
