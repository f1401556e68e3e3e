SELECT position FROM archived_record ORDER BY position
