-- An event as a verdict needs it, with its provider's clock.
SELECT 'event' AS kind, e.kind AS event_kind, e.id AS number, b.provider, b.account, d.meter,
  e.quantity, b.accrued, b.told, e.hold_reason AS reason, e.hold_detail AS detail,
  e.moved_at AS since, e.moved_at AS version, e.state, e.ambiguous, e.deadline_at, e.balance_id,
  b.window_start, b.window_end, e.covers_from, e.covers_to, p.clock_provider_at,
  p.clock_local_at
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN provider AS p ON p.name = b.provider
WHERE e.id = ?1
