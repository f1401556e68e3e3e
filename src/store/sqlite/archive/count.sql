-- How many bookings, and of how many records, the chosen balances have.
SELECT count(*) AS bookings, count(DISTINCT k.record_position) AS records
FROM copy.balance AS c CROSS JOIN main.booking AS k ON k.balance_id = c.id
