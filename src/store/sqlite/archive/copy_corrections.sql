INSERT INTO copy.correction (id, source, record_id, name, kind, quantity, replaces, reason, who,
  recorded_at)
SELECT id, source, record_id, name, kind, quantity, replaces, reason, who, recorded_at
FROM main.correction WHERE identity IN (SELECT identity FROM copy.usage_record)
