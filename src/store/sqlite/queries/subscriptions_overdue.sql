-- Subscriptions of which a period ended and no draft is known. The longer that is, the more seldom
-- they are asked for.
SELECT DISTINCT s.id, s.name FROM billing_period AS p
JOIN subscription AS s ON s.id = p.subscription_id
WHERE p.provider = ?1 AND p.closed_at IS NULL AND p.closes_at IS NULL AND p.end_at <= ?2
  AND (s.asked_at IS NULL OR s.asked_at < ?3 - (?2 - p.end_at) / 4)
LIMIT ?4
