-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
INSERT INTO lane (provider, destination_id, account)
SELECT DISTINCT b.provider, b.destination_id, b.account
FROM json_each(?1) AS n CROSS JOIN balance AS b ON b.id = n.value ->> 0 WHERE true
ON CONFLICT (destination_id, account) DO NOTHING
