INSERT INTO billing_period (subscription_id, provider, account, meter, start_at, end_at, closes_at,
  closed_at, invoice, billed, learned_at)
SELECT value ->> 0, ?1, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, value ->> 8, ?3
FROM json_each(?2) WHERE true
ON CONFLICT (subscription_id, meter, start_at) DO UPDATE SET account = excluded.account,
  end_at = excluded.end_at, closes_at = excluded.closes_at, closed_at = excluded.closed_at,
  invoice = excluded.invoice, billed = excluded.billed, learned_at = excluded.learned_at,
  compared_at = NULL
