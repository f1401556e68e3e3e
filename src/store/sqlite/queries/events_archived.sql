-- Those of some events whose bookings went to an archive. CROSS JOIN keeps the order, as elsewhere.
SELECT e.id FROM json_each(?1) AS wanted CROSS JOIN meter_event AS e ON e.id = wanted.value
WHERE EXISTS (SELECT 1 FROM balance_seal AS s
  WHERE s.balance_id = e.balance_id AND s.events >= e.ordinal)
