-- The invoices of the periods that an instant of an account's usage of a meter is in. The index is
-- named, as the engine would read all invoices of a provider.
SELECT invoice, billed FROM billing_period INDEXED BY billing_period_place
WHERE provider = ?1 AND account = ?2 AND meter = ?3 AND start_at <= ?4 AND end_at > ?4
  AND invoice IS NOT NULL
ORDER BY id
