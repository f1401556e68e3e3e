SELECT id, destination_id, fold, accrued, told, reads, digest, newest_at, stands_at, booked_to,
  due_at
FROM balance WHERE id = ?1
