-- Up to which line the bookings of a balance went to archives, or are about to.
SELECT coalesce(max(booked_to), 0) AS booked_to FROM balance_seal WHERE balance_id = ?1
