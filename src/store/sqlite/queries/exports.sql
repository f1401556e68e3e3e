-- Exports, and whether the ledger was rolled back since each was begun.
SELECT id, provider, form, account, livemode, asked, who, made_at,
  coalesce((SELECT restored_at FROM ledger WHERE one = 1) >= made_at, 0) AS rolled_back
FROM export WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT ?2
