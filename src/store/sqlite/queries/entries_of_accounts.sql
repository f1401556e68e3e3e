-- How many entries accounts were told, whatever became of them; what was withdrawn before it was
-- sent is none.
-- CROSS JOIN keeps the order: by the few meters of a provider to the account's own lanes.
SELECT wanted.value AS account, (SELECT count(*) FROM destination AS d
    CROSS JOIN lane AS l ON l.destination_id = d.id AND l.account = wanted.value
    CROSS JOIN meter_event AS e
      ON e.lane_id = l.id AND e.second IS NOT NULL AND +e.state <> 'void'
  WHERE d.provider = ?1) AS entries
FROM json_each(?2) AS wanted
