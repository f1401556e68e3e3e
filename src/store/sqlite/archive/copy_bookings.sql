INSERT INTO copy.booking (id, record_position, destination_id, route_version_id, balance_id,
  quantity, cause, cause_id, booked_at)
SELECT k.id, k.record_position, k.destination_id, k.route_version_id, k.balance_id, k.quantity,
  k.cause, k.cause_id, k.booked_at
FROM copy.balance AS c CROSS JOIN main.booking AS k ON k.balance_id = c.id
ORDER BY k.id
