SELECT 'record ' || r.position AS row FROM usage_record AS r
WHERE r.position <= (SELECT position FROM watermark WHERE room = 'accrual')
  AND NOT EXISTS (SELECT 1 FROM booking AS k WHERE k.record_position = r.position)
  AND NOT EXISTS (SELECT 1 FROM parked_record AS p WHERE p.record_position = r.position)
LIMIT 20
