SELECT id, device, inode, name, read_to, line, mark, size FROM spool_file
WHERE spool = ?1 AND ended IS NULL ORDER BY id
