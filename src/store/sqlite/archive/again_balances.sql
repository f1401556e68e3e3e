-- The balances of an archive that was sealed, as they were sealed.
INSERT INTO copy.balance (id, provider, meter, account, dimensions, window_start, window_end,
  accrued, told, digest, booked_to, events)
SELECT b.id, b.provider, d.meter, b.account, b.dimensions, b.window_start, b.window_end, s.accrued,
  s.accrued, s.digest, s.booked_to, s.events
FROM main.balance_seal AS s JOIN main.balance AS b ON b.id = s.balance_id
JOIN main.destination AS d ON d.id = b.destination_id
WHERE s.archive_id = ?1
