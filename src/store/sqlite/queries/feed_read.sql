SELECT read_to, read_at FROM feed WHERE provider = ?1 AND name = ?2
