DELETE FROM main.usage_record WHERE position IN (SELECT position FROM copy.usage_record
  WHERE position > ?1 AND position <= ?2)
