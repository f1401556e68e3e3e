SELECT s.id, s.name, s.account FROM json_each(?2) AS wanted CROSS JOIN subscription AS s
  ON s.provider = ?1 AND s.name = wanted.value
