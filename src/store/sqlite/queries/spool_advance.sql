-- Moves the cursor of a file from ?5 on, or begins one where nothing of the file was read. A
-- stretch that was booked before stays booked.
INSERT INTO spool_file (spool, device, inode, name, read_to, line, mark, size, begun_at, read_at)
SELECT ?1, ?2, ?3, ?4, ?6, ?7, ?8, ?9, ?10, ?10
WHERE ?5 = 0 OR EXISTS (SELECT 1 FROM spool_file
  WHERE spool = ?1 AND device = ?2 AND inode = ?3 AND ended IS NULL)
ON CONFLICT (spool, device, inode) WHERE ended IS NULL DO UPDATE
SET name = excluded.name, read_to = excluded.read_to, line = excluded.line, mark = excluded.mark,
  size = excluded.size, read_at = excluded.read_at
WHERE read_to = ?5 OR (read_to = excluded.read_to AND mark = excluded.mark)
