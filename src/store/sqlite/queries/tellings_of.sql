SELECT mode, bill_from, adopted_at FROM telling WHERE provider = ?1 ORDER BY id
