SELECT route, reason, detail, parked_at FROM parked_record WHERE record_position = ?1
