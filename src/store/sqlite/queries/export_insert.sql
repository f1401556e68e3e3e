-- For the account that is pinned; nothing where none is.
INSERT INTO export (provider, form, account, livemode, asked, who, made_at)
SELECT p.name, ?2, p.account, p.livemode, ?3, ?4, ?5 FROM provider AS p
WHERE p.name = ?1 AND p.livemode IS NOT NULL RETURNING id
