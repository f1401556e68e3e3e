-- What waited too long, some at a time.
UPDATE notice SET state = 'ignored', why = ?2, concluded_at = ?3
WHERE id IN (SELECT w.id FROM notice AS w WHERE w.state = 'waiting' AND w.received_at < ?1 LIMIT ?4)
