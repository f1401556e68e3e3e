SELECT k.id, k.balance_id, k.quantity, r.identity, r.occurred_at
FROM main.booking AS k JOIN main.usage_record AS r ON r.position = k.record_position ORDER BY k.id
