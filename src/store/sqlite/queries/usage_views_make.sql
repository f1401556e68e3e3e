INSERT INTO usage_view (meter, bucket, subscription, is_timed, position, corrected_to,
  archived_before, is_retired)
SELECT wanted.value ->> 0, wanted.value ->> 1, wanted.value ->> 2, wanted.value ->> 3, 0, 0,
  (SELECT max(before_at) FROM archive), 0
FROM json_each(?1) AS wanted WHERE true ON CONFLICT DO NOTHING
