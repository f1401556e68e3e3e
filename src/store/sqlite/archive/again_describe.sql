INSERT INTO copy.archive (one, ledger, id, before_at, made_at, records, bookings)
SELECT 1, l.id, a.id, a.before_at, ?2, a.records, a.bookings
FROM main.ledger AS l, main.archive AS a WHERE a.id = ?1
