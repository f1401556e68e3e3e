SELECT l.provider, e.state, count(*) AS count
FROM meter_event AS e JOIN lane AS l ON l.id = e.lane_id
GROUP BY l.provider, e.state ORDER BY l.provider, e.state
