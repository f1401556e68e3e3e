SELECT p.id, p.subscription_id, p.meter, p.start_at, p.end_at, p.closes_at, p.closed_at, p.invoice,
  p.billed
FROM json_each(?1) AS wanted CROSS JOIN billing_period AS p ON p.subscription_id = wanted.value
ORDER BY p.id
