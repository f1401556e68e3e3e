INSERT INTO booking (id, record_position, destination_id, route_version_id, balance_id, quantity,
  booked_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?2
FROM json_each(?1)
