-- Some of the events of an export that are held for it, in the order of its files.
SELECT x.destination_id, e.id FROM export_event AS x CROSS JOIN meter_event AS e
  ON e.id = x.event_id
WHERE x.export_id = ?1 AND (x.destination_id, x.event_id) > (?2, ?3)
  AND +e.state = 'held' AND e.hold_reason = 'exported'
  AND x.export_id = (SELECT max(o.export_id) FROM export_event AS o WHERE o.event_id = e.id)
ORDER BY x.destination_id, x.event_id LIMIT ?4
