INSERT INTO provider (name, account, livemode, pinned_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (name) DO UPDATE SET account = excluded.account, livemode = excluded.livemode,
  pinned_at = excluded.pinned_at
