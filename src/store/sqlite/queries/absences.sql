SELECT start_at, end_at FROM absence ORDER BY start_at
