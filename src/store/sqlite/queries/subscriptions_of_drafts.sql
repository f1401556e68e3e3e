-- Subscriptions with a period that one of these invoices was the draft of.
SELECT DISTINCT s.name FROM billing_period AS p JOIN subscription AS s ON s.id = p.subscription_id
WHERE p.provider = ?1 AND p.closed_at IS NULL
  AND p.invoice IN (SELECT value FROM json_each(?2))
