-- What the balances of an archive came to, and had come to when it was begun.
SELECT s.balance_id, s.booked_to, s.accrued, s.digest, p.accrued AS accrued_before,
  p.digest AS digest_before
FROM balance_seal AS s LEFT JOIN balance_seal AS p ON p.balance_id = s.balance_id
  AND p.booked_to = (SELECT max(o.booked_to) FROM balance_seal AS o
    WHERE o.balance_id = s.balance_id AND o.booked_to < s.booked_to)
WHERE s.archive_id = ?1
