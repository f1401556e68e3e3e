DELETE FROM main.booking WHERE record_position IN (SELECT position FROM copy.usage_record
  WHERE position > ?1 AND position <= ?2)
