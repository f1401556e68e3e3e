-- Subscriptions of which a period ended and no draft is known, and those that go on and of which no
-- period is known that has not ended: what is used now belongs to the next one. The longer that is,
-- the more seldom they are asked for.
SELECT id, name FROM (
  SELECT s.id, s.name, s.asked_at, max(p.end_at) AS ended_at FROM billing_period AS p
  JOIN subscription AS s ON s.id = p.subscription_id
  WHERE p.provider = ?1 AND p.closed_at IS NULL AND p.closes_at IS NULL AND p.end_at <= ?2
  GROUP BY s.id
  UNION ALL
  SELECT s.id, s.name, s.asked_at, max(p.end_at) AS ended_at FROM subscription AS s
  JOIN billing_period AS p ON p.subscription_id = s.id
  WHERE s.provider = ?1 AND s.status = 'billing'
  GROUP BY s.id HAVING max(p.end_at) <= ?2)
WHERE asked_at IS NULL OR asked_at < ?3 - (?2 - ended_at) / 4
GROUP BY id LIMIT ?4
