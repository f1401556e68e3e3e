INSERT INTO drift (run_id, account, meter, start_at, end_at, kind, quantity, detail, suspects)
SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
  value ->> 6, value ->> 7
FROM json_each(?2) ORDER BY key
