SELECT identity, content, position FROM archived_record WHERE archive_id = ?1 ORDER BY position
