-- Events of an export in the order of its files.
SELECT x.destination_id, e.id, e.kind, e.identifier, e.quantity, e.occurred_at, e.deadline_at,
  e.body, e.attempts > 0 OR e.generation > 1 AS tried, l.account, d.meter, m.id AS pin_id,
  m.formula, m.customer_key, m.value_key, m.span, m.active, m.learned
FROM export_event AS x CROSS JOIN meter_event AS e ON e.id = x.event_id
CROSS JOIN lane AS l ON l.id = e.lane_id
CROSS JOIN destination AS d ON d.id = l.destination_id
LEFT JOIN provider_meter AS m ON m.provider = l.provider AND m.meter = d.meter
WHERE x.export_id = ?1 AND (x.destination_id, x.event_id) > (?2, ?3)
ORDER BY x.destination_id, x.event_id LIMIT ?4
