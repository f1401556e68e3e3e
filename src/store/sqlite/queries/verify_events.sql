SELECT balance_id, state, quantity, attempts, ambiguous, kind = 'cancel' AS cancels,
  total IS NOT NULL AS is_total
FROM meter_event
