-- What was read, the newest of each span: of openings, and of days while the provider is in shadow.
SELECT f.provider, f.account, f.meter, f.kind, f.start_at, f.end_at, f.low, f.high, f.read_at
FROM foreign_total AS f
WHERE (?1 IS NULL OR f.account = ?1) AND (?2 IS NULL OR f.meter = ?2)
  AND f.id = (SELECT max(o.id) FROM foreign_total AS o WHERE o.provider = f.provider
    AND o.account = f.account AND o.meter = f.meter AND o.kind = f.kind
    AND o.start_at = f.start_at AND o.end_at = f.end_at)
ORDER BY f.provider, f.account, f.meter, f.kind, f.start_at
