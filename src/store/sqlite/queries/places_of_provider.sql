SELECT DISTINCT b.account, d.meter
FROM balance AS b JOIN destination AS d ON d.id = b.destination_id
WHERE b.provider = ?1 ORDER BY 1, 2
