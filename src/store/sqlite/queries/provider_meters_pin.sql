INSERT INTO provider_meter (provider, meter, id, formula, customer_key, value_key, span, active,
  learned, pinned_at)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7, ?3
FROM json_each(?2) WHERE true
ON CONFLICT (provider, meter) DO UPDATE SET id = coalesce(excluded.id, id),
  active = excluded.active, learned = excluded.learned
