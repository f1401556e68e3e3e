-- Periods that hold one of the instants from ?2 to ?3, with those until which an opening is kept.
SELECT p.account, p.meter, p.start_at, p.end_at,
  (SELECT json_group_array(f.end_at) FROM foreign_total AS f WHERE f.provider = p.provider
     AND f.account = p.account AND f.meter = p.meter AND f.kind = 'opening'
     AND f.start_at = p.start_at) AS known_until
FROM billing_period AS p
WHERE p.provider = ?1 AND p.start_at < ?3 AND p.end_at > ?2 ORDER BY p.account, p.meter, p.start_at
