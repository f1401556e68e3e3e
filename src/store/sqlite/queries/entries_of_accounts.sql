-- How many entries accounts were told, whatever became of them; what was withdrawn before it was
-- sent is none.
SELECT wanted.value AS account, (SELECT count(*) FROM lane AS l JOIN meter_event AS e
    ON e.lane_id = l.id AND e.second IS NOT NULL AND +e.state <> 'void'
  WHERE l.provider = ?1 AND l.account = wanted.value) AS entries
FROM json_each(?2) AS wanted
