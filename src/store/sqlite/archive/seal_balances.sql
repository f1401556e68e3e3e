INSERT INTO main.balance_seal (balance_id, booked_to, archive_id, accrued, digest, events)
SELECT b.id, b.booked_to, ?1, b.accrued, b.digest, b.events
FROM copy.balance AS c JOIN main.balance AS b ON b.id = c.id
