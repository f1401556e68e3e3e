-- Its number is one that none had, in this ledger nor in one that a backup took the place of.
INSERT INTO copy.archive (one, ledger, id, before_at, made_at, records, bookings)
SELECT 1, l.id, 1 + max(?3, (SELECT coalesce(max(id), 0) FROM main.archive)), ?1, ?2,
  (SELECT count(*) FROM copy.usage_record), (SELECT count(*) FROM copy.booking)
FROM main.ledger AS l
