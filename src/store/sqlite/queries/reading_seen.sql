-- Since when, by the provider's clock, readings of a span say the same and wait for a second look.
SELECT min(r.provider_at) AS since FROM reading AS r
WHERE r.lane_id = ?1 AND r.start_at = ?2 AND r.end_at = ?3 AND r.finding = 'first_seen'
  AND r.id > (SELECT coalesce(max(o.id), 0) FROM reading AS o WHERE o.lane_id = ?1
    AND o.start_at = ?2 AND o.end_at = ?3 AND (o.fingerprint <> ?4 OR o.total <> ?5))
