-- The events of a balance that cover one of some lines of it, and the cancels of those events.
WITH line AS MATERIALIZED (SELECT value AS id FROM json_each(?2))
SELECT e.id, e.target_id, e.identifier, e.state, e.hold_reason, e.hold_detail, e.quantity,
  e.occurred_at
FROM meter_event AS e LEFT JOIN meter_event AS t ON t.id = e.target_id
WHERE e.balance_id = ?1
  AND EXISTS (SELECT 1 FROM line WHERE (e.covers_from < line.id AND line.id <= e.covers_to)
    OR (t.covers_from < line.id AND line.id <= t.covers_to))
ORDER BY e.ordinal
