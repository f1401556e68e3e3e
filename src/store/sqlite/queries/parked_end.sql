DELETE FROM parked_record WHERE (record_position, route) IN
  (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
