-- The export that holds an event, and whether its files were said to be uploaded.
SELECT x.export_id, EXISTS (SELECT 1 FROM export_step AS s
  WHERE s.export_id = x.export_id AND s.step = 'confirmed') AS confirmed
FROM export_event AS x WHERE x.event_id = ?1 ORDER BY x.export_id DESC LIMIT 1
