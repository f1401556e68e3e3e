-- An event as a verdict needs it, with its provider's clock. A total covers all of its window, and
-- says what came since the one before it.
SELECT 'event' AS kind, e.kind AS event_kind, e.id AS number, b.provider, b.account, d.meter,
  e.quantity, b.accrued, b.told, e.hold_reason AS reason, e.hold_detail AS detail,
  e.moved_at AS since, e.moved_at AS version, e.state, e.ambiguous, e.deadline_at, e.balance_id,
  b.window_start, b.window_end, e.covers_to, p.clock_provider_at, p.clock_local_at,
  max(e.covers_from, coalesce((SELECT max(o.covers_to) FROM meter_event AS o
    WHERE o.balance_id = e.balance_id AND o.ordinal < e.ordinal AND o.total IS NOT NULL
      AND e.total IS NOT NULL AND o.state NOT IN ('void', 'superseded', 'dead')), 0)) AS says_from
FROM meter_event AS e JOIN balance AS b ON b.id = e.balance_id
JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN provider AS p ON p.name = b.provider
WHERE e.id = ?1
