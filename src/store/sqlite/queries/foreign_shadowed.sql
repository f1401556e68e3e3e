-- What is booked of each account and meter, the longest unread first.
SELECT b.account, d.meter, min(b.window_start) AS first,
  (SELECT max(f.read_at) FROM foreign_total AS f WHERE f.provider = b.provider
     AND f.account = b.account AND f.meter = d.meter AND f.kind = 'shadow') AS last_read
FROM balance AS b JOIN destination AS d ON d.id = b.destination_id
WHERE b.provider = ?1 GROUP BY b.account, d.meter
HAVING first < ?2 AND coalesce(last_read < ?3, 1)
ORDER BY last_read, b.account, d.meter LIMIT ?4
