-- The newest usage that the files of a sealed export may tell, and the number of its sealing.
SELECT max(e.occurred_at) AS at,
  (SELECT s.id FROM export_step AS s WHERE s.export_id = ?1 AND s.step = 'sealed') AS step
FROM export_event AS x JOIN meter_event AS e ON e.id = x.event_id
WHERE x.export_id = ?1
