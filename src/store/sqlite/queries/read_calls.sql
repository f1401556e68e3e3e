SELECT coalesce(sum(calls), 0) AS month, coalesce(sum(iif(day = ?2, calls, 0)), 0) AS today
FROM read_calls WHERE provider = ?1 AND day > ?3 AND day <= ?2
