SELECT 'lane ' || l.id AS row FROM lane AS l
WHERE l.event_id IS NOT (SELECT e.id FROM meter_event AS e
    WHERE e.lane_id = l.id AND e.state = 'in_flight')
  OR (SELECT count(*) FROM meter_event AS e
    WHERE e.lane_id = l.id AND e.state = 'in_flight') > 1
LIMIT 20
