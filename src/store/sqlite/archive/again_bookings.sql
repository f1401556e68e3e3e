-- The bookings of an archive that was sealed, while they are still here.
INSERT INTO copy.booking (id, record_position, destination_id, route_version_id, balance_id,
  quantity, cause, cause_id, booked_at)
SELECT k.id, k.record_position, k.destination_id, k.route_version_id, k.balance_id, k.quantity,
  k.cause, k.cause_id, k.booked_at
FROM main.archived_record AS a CROSS JOIN main.booking AS k ON k.record_position = a.position
WHERE a.archive_id = ?1
ORDER BY k.id
