INSERT INTO main.archive (id, path, before_at, records, bookings, digest, sealed_at)
SELECT id, ?1, before_at, records, bookings, ?2, ?3 FROM copy.archive
RETURNING id, records, bookings
