SELECT accrued, digest, newest_at, due_at FROM balance WHERE id = ?1
