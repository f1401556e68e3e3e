-- All lines of a balance, with the record behind each.
SELECT k.id, k.record_position, k.route_version_id, k.quantity, k.cause, k.cause_id, k.member,
  r.identity, r.occurred_at, c.kind IS 'cancel' AS cancels
FROM booking AS k JOIN usage_record AS r ON r.position = k.record_position
LEFT JOIN correction AS c ON k.cause = 'correction' AND c.id = k.cause_id
WHERE k.balance_id = ?1 ORDER BY k.id
