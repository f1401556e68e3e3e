SELECT id, position, corrected_to, archived_before,
  (SELECT coalesce(max(position), 0) FROM usage_record) AS journal_end,
  (SELECT coalesce(max(id), 0) FROM correction) AS corrections_end
FROM usage_view
WHERE meter = ?1 AND bucket = ?2 AND subscription = ?3 AND is_timed = ?4 AND is_retired = 0
