-- What a gauge gave away is no longer the newest that it holds.
UPDATE balance SET newest_at = min(max(newest_at, window_start), window_end - 1) WHERE id = ?1
