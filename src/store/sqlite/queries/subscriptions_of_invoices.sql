-- Subscriptions with a period that one of these invoices bills, or was the draft of.
SELECT DISTINCT s.name FROM billing_period AS p JOIN subscription AS s ON s.id = p.subscription_id
WHERE p.provider = ?1 AND p.invoice IN (SELECT value FROM json_each(?2))
