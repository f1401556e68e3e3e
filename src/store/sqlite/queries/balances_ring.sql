-- A refused cancel is told, and yet is to be gone about in another way. A hold ends with what was
-- outstanding. A level may have to be said, or be said no longer, though it differs by nothing.
UPDATE balance SET due_at = coalesce(due_at, ?2), version = version + 1
WHERE id IN (SELECT value FROM json_each(?1))
  AND (accrued <> told OR fold <> 'sum'
    OR EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = balance.id)
    OR EXISTS (SELECT 1 FROM meter_event AS e WHERE e.balance_id = balance.id
      AND e.kind = 'cancel' AND e.state = 'held' AND e.ambiguous = 0))
