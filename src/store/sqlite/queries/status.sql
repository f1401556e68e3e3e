SELECT l.id AS ledger_id,
  (SELECT coalesce(max(position), 0) FROM usage_record) AS records,
  (SELECT position FROM watermark WHERE room = 'accrual') AS accrued_to,
  (SELECT coalesce(max(id), 0) FROM correction) AS corrections,
  (SELECT position FROM watermark WHERE room = 'corrections') AS corrected_to,
  (SELECT count(*) FROM conflicting_record WHERE decided IS NULL) AS conflicts,
  (SELECT count(*) FROM rejected_record) AS rejected,
  (SELECT count(*) FROM rejected_record WHERE ended IS NULL) AS rejected_open,
  (SELECT count(*) FROM balance WHERE due_at IS NOT NULL) AS balances_open,
  (SELECT min(created_at) FROM meter_event WHERE state IN ('pending', 'unknown'))
    AS oldest_open_at,
  (SELECT min(deadline_at) FROM lane WHERE next_attempt_at IS NOT NULL) AS nearest_deadline_at
FROM ledger AS l WHERE l.one = 1
