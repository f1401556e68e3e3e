SELECT id, identity, kind, quantity, replaces FROM correction ORDER BY id
