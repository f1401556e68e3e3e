-- The last record of the next batch; nothing when there is none.
SELECT max(position) AS position FROM (SELECT position FROM copy.usage_record
  WHERE position > ?1 ORDER BY position LIMIT ?2)
