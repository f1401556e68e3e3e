DELETE FROM balance_hold WHERE balance_id IN (SELECT value FROM json_each(?1))
  AND balance_id NOT IN (SELECT value ->> 0 FROM json_each(?2))
