SELECT meter, id, formula, customer_key, value_key, span, active, learned
FROM provider_meter WHERE provider = ?1 ORDER BY meter
