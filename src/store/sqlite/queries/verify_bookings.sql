SELECT k.id, k.balance_id, k.quantity, r.identity, r.occurred_at
FROM booking AS k JOIN usage_record AS r ON r.position = k.record_position ORDER BY k.id
