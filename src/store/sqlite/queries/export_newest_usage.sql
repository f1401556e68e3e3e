-- The newest usage that the files of an export may tell.
SELECT max(e.occurred_at) AS at FROM export_event AS x JOIN meter_event AS e ON e.id = x.event_id
WHERE x.export_id = ?1
