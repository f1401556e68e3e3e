-- What became of the events of an export. One that was in several is held by the last of them; and
-- what was found at the provider in a period that was closed is there too.
SELECT count(*) AS events,
  coalesce(sum(e.state = 'held' AND e.hold_reason = 'exported' AND x.export_id =
    (SELECT max(o.export_id) FROM export_event AS o WHERE o.event_id = e.id)), 0) AS held,
  coalesce(sum(e.attempts = 0 AND (e.state = 'settled' OR (e.state = 'held'
    AND e.hold_reason = 'late_for_period' AND e.ambiguous = 1))), 0) AS present
FROM export_event AS x CROSS JOIN meter_event AS e ON e.id = x.event_id WHERE x.export_id = ?1
