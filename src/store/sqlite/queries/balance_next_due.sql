SELECT min(due_at) AS due_at FROM balance WHERE provider = ?1 AND due_at IS NOT NULL
