SELECT provider, account, meter, range_start, range_end, begun_at, ended_at, calls, calls_min,
  compared, agreed
FROM reconcile_run WHERE id = ?1
