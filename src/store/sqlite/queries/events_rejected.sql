-- Events that a provider names: by their identifier, or by an attempt's key, which begins with it.
SELECT wanted.key AS place, e.id, e.state FROM json_each(?2) AS wanted
  CROSS JOIN meter_event AS e ON e.identifier = wanted.value
  CROSS JOIN lane AS l ON l.id = e.lane_id AND l.provider = ?1
