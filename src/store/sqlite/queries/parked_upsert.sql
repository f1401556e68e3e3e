INSERT INTO parked_record (record_position, route, reason, detail, parked_at, mapping_version)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2, ?3 FROM json_each(?1) WHERE true
ON CONFLICT (record_position, route) DO UPDATE SET reason = excluded.reason,
  detail = excluded.detail, mapping_version = excluded.mapping_version
