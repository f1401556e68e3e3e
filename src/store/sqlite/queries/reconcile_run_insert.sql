INSERT INTO reconcile_run (provider, account, meter, range_start, range_end, begun_at, ended_at,
  calls, calls_min, compared, agreed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
