-- Drafts that should be final. The longer that is so, the more seldom they are asked for.
SELECT DISTINCT s.id, p.invoice FROM billing_period AS p
JOIN subscription AS s ON s.id = p.subscription_id
WHERE p.provider = ?1 AND p.closed_at IS NULL AND p.closes_at <= ?2
  AND (s.asked_at IS NULL OR s.asked_at < ?3 - (?2 - p.closes_at) / 4)
LIMIT ?4
