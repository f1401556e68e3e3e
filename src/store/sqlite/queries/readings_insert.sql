INSERT INTO reading (lane_id, start_at, end_at, total, fingerprint, provider_at, read_at, finding,
  detail)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), ?3, ?4, value ->> 4,
  value ->> 5
FROM json_each(?2)
