-- Another gauge of the same bounds, which there is only where bounds moved back and forth, stays.
UPDATE OR IGNORE balance SET window_start = ?2, window_end = ?3, due_at = ?4, version = version + 1
WHERE id = ?1
