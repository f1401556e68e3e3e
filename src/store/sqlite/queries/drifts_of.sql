SELECT account, meter, start_at, end_at, kind, quantity, detail, suspects
FROM drift WHERE run_id = ?1 ORDER BY id
