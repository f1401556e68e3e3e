-- The archive whose records are not all gone from here yet.
SELECT id, path, digest, records, bookings, before_at FROM archive WHERE done_at IS NULL
