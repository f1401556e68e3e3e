SELECT id, provider, form, account, livemode, asked, who, made_at FROM export
WHERE ?1 IS NULL OR id = ?1 ORDER BY id DESC LIMIT ?2
