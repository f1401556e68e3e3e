UPDATE ledger SET caught_up_at = ?1, caught_up_by = ?2
WHERE one = 1 AND restored_at IS NOT NULL AND caught_up_at IS NULL
