SELECT id, destination_id, accrued, told, digest, newest_at, booked_to, due_at FROM balance
WHERE id = ?1
