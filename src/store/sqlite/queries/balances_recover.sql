-- The same for balances: none is due later than the longest settling after its window or after
-- now.
UPDATE balance SET due_at = max(window_end, ?1)
WHERE due_at IS NOT NULL AND due_at > max(window_end, ?1) + ?2
