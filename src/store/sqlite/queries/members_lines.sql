-- The lines of values of balances. CROSS JOIN keeps the order, as elsewhere.
SELECT k.balance_id, k.member, k.record_position, k.quantity
FROM json_each(?1) AS wanted CROSS JOIN booking AS k
  ON k.balance_id = wanted.value ->> 0 AND k.member = unhex(wanted.value ->> 1)
