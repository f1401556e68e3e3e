SELECT id, record_position, destination_id, route_version_id, balance_id, quantity, cause, cause_id,
  booked_at
FROM main.booking ORDER BY id
