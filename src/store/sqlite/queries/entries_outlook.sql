-- How many entries the accounts of a provider were told, whatever became of them, how many of them
-- since an instant, and when the first was. What was withdrawn before it was sent is none.
SELECT l.account, count(*) AS entries, sum(e.created_at >= ?2) AS recent,
  min(e.created_at) AS first_at
FROM lane AS l CROSS JOIN meter_event AS e
  ON e.lane_id = l.id AND e.second IS NOT NULL AND +e.state <> 'void'
WHERE l.provider = ?1 GROUP BY l.account ORDER BY l.account
