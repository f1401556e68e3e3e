SELECT restored_at, sent_through_at, caught_up_at FROM ledger WHERE one = 1
