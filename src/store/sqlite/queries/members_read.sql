-- What values of balances came to. CROSS JOIN keeps the order: from what came with the call, which
-- is read once, to the rows.
SELECT m.balance_id, m.member, m.level
FROM json_each(?1) AS wanted CROSS JOIN balance_member AS m
  ON m.balance_id = wanted.value ->> 0 AND m.member = unhex(wanted.value ->> 1)
