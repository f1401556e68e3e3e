-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT a.customer, a.account FROM json_each(?2) AS wanted
CROSS JOIN account AS a ON a.provider = ?1 AND a.customer = wanted.value
