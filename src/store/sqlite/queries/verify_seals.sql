-- What each balance came to when bookings of it went last.
SELECT s.balance_id, s.booked_to, s.accrued, s.digest FROM balance_seal AS s
WHERE s.booked_to = (SELECT max(o.booked_to) FROM balance_seal AS o
  WHERE o.balance_id = s.balance_id)
