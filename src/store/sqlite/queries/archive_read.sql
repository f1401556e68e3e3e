SELECT id, records, bookings, digest FROM archive WHERE id = ?1
