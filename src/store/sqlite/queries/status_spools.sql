SELECT spool, count(*) FILTER (WHERE ended IS NULL) AS files,
  coalesce(sum(size - read_to) FILTER (WHERE ended IS NULL), 0) AS unread,
  count(*) FILTER (WHERE ended = 'lost') AS lost,
  count(*) FILTER (WHERE ended = 'replaced') AS replaced, max(read_at) AS read_at
FROM spool_file GROUP BY spool ORDER BY spool
