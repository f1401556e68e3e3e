-- A gauge that was part of another is said by an event of that one, while it has none of its own,
-- and the event counts as told and may be at the provider.
UPDATE balance SET said_by = e.id, told = e.total, version = version + 1
FROM meter_event AS e
WHERE balance.id = ?1 AND e.id = ?2 AND balance.events = 0 AND balance.said_by IS NULL
  AND e.total IS NOT NULL AND e.attempts > 0
  AND (e.state IN ('in_flight', 'unknown', 'accepted', 'settled')
    OR (e.state = 'held' AND e.ambiguous = 1))
