INSERT INTO telling (provider, mode, bill_from, adopted_at) VALUES (?1, ?2, ?3, ?4)
