SELECT s.id, i.start_at FROM json_each(?2) AS wanted
CROSS JOIN subscription AS s ON s.provider = ?1 AND s.name = wanted.value
CROSS JOIN idle_time AS i ON i.provider = s.provider AND i.account = s.account
  AND i.subscription_id = s.id AND i.end_at IS NULL
ORDER BY s.id, i.start_at
