-- Subscriptions of which only an invoice is known yet.
INSERT INTO subscription (provider, name, account, status, started_at, learned_at)
SELECT ?1, value ->> 0, value ->> 1, 'billing', value ->> 2, ?3
FROM json_each(?2) WHERE true
ON CONFLICT (provider, name) DO NOTHING
