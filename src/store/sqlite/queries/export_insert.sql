-- For the account that is pinned; nothing where none is. Its number is one that none had, in this
-- ledger nor in one that a backup took the place of.
INSERT INTO export (id, provider, form, account, livemode, asked, who, made_at)
SELECT 1 + max(?6, (SELECT coalesce(max(id), 0) FROM export)), p.name, ?2, p.account, p.livemode,
  ?3, ?4, ?5
FROM provider AS p WHERE p.name = ?1 AND p.livemode IS NOT NULL RETURNING id
