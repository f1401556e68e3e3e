SELECT r.id, (SELECT count(*) FROM drift AS f WHERE f.run_id = r.id) AS drifts
FROM reconcile_run AS r WHERE ?1 IS NULL OR r.provider = ?1 ORDER BY r.id DESC LIMIT ?2
