-- What a ledger is told by against its fence.
SELECT l.id, l.restored_at, l.sent_through_at,
  (SELECT coalesce(max(id), 0) FROM attempt) AS attempt,
  (SELECT coalesce(max(id), 0) FROM export_step) AS export_step,
  (SELECT coalesce(max(id), 0) FROM export) AS export,
  (SELECT coalesce(max(id), 0) FROM archive) AS archive
FROM ledger AS l WHERE l.one = 1
