SELECT restored_at IS NULL OR caught_up_at IS NOT NULL AS caught_up FROM ledger
