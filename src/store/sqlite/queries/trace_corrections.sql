SELECT id, name, kind, quantity, replaces, reason, who, recorded_at
FROM correction WHERE identity = ?1 ORDER BY id
