SELECT id, meter, bucket, subscription, is_timed, position, corrected_to,
  (SELECT coalesce(max(position), 0) FROM usage_record) AS journal_end,
  (SELECT coalesce(max(id), 0) FROM correction) AS corrections_end
FROM usage_view WHERE is_retired = 0 ORDER BY position, corrected_to, id
