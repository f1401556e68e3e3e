-- Corrections that came before their record, and replace another quantity than it has. Any that is
-- without effect is such a one, or follows one.
SELECT c.id, c.identity, c.source, c.record_id, c.name, c.quantity, c.replaces, c.recorded_at,
  r.quantity AS booked
FROM correction AS c JOIN usage_record AS r ON r.identity = c.identity
WHERE c.kind = 'adjust' AND c.replaces <> r.quantity
  AND c.id = (SELECT min(f.id) FROM correction AS f WHERE f.identity = c.identity)
ORDER BY c.id
