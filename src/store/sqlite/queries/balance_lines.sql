-- All lines of a balance, with the record behind each.
SELECT k.id, k.record_position, k.route_version_id, k.quantity, k.cause, r.identity, r.occurred_at
FROM booking AS k JOIN usage_record AS r ON r.position = k.record_position
WHERE k.balance_id = ?1 ORDER BY k.id
