UPDATE ledger SET restored_at = ?1, sent_through_at = max(coalesce(sent_through_at, ?2), ?2),
  caught_up_at = NULL, caught_up_by = NULL
WHERE one = 1
