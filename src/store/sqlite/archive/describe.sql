INSERT INTO copy.archive (one, ledger, id, before_at, made_at, records, bookings)
SELECT 1, l.id, (SELECT coalesce(max(id), 0) + 1 FROM main.archive), ?1, ?2,
  (SELECT count(*) FROM copy.usage_record), (SELECT count(*) FROM copy.booking)
FROM main.ledger AS l
