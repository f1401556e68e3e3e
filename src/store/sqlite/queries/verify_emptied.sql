SELECT 'record ' || a.position AS row FROM archived_record AS a
JOIN archive AS f ON f.id = a.archive_id AND f.done_at IS NOT NULL
WHERE EXISTS (SELECT 1 FROM usage_record AS r WHERE r.identity = a.identity)
LIMIT 20
