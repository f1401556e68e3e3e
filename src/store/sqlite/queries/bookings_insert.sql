INSERT INTO booking (id, record_position, destination_id, route_version_id, balance_id, quantity,
  cause, cause_id, member, booked_at)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
  value ->> 7, unhex(value ->> 8), ?2
FROM json_each(?1)
