SELECT id, hex(identity) AS identity FROM correction WHERE id > ?1 ORDER BY id LIMIT ?2
