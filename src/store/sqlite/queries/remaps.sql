-- What stands of the newest remaps; only of one, if it is named.
SELECT r.id, r.who, r.why, r.asked_at, r.to_position,
  coalesce(max(s.to_position), 0) AS at, coalesce(sum(s.changed), 0) AS changed,
  coalesce(sum(s.left_alone), 0) AS left_alone, max(s.ended) AS ended, max(s.who) AS stopped_by,
  max(s.why) AS stopped_why
FROM remap AS r LEFT JOIN remap_step AS s ON s.remap_id = r.id
WHERE ?1 IS NULL OR r.id = ?1
GROUP BY r.id ORDER BY r.id DESC LIMIT ?2
