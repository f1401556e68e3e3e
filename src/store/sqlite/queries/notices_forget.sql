-- What was concluded long ago, some at a time.
DELETE FROM notice WHERE id IN (SELECT o.id FROM notice AS o WHERE o.concluded_at < ?1 LIMIT ?2)
