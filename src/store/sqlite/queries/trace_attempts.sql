SELECT a.begun_at, a.idempotency_key, r.outcome, r.status, r.request_id, r.message
FROM attempt AS a LEFT JOIN receipt AS r ON r.attempt_id = a.id
WHERE a.event_id = ?1 ORDER BY a.number
