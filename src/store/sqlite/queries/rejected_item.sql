SELECT id, source, spoke_for, record_id, place, field, reason, raw, form, whole, recorded_at, ended,
  position, why, who, ended_at
FROM rejected_record WHERE id = ?1
