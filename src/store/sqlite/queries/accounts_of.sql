SELECT a.customer, a.account FROM json_each(?2) AS wanted
JOIN account AS a ON a.provider = ?1 AND a.customer = wanted.value
