-- Of each account and meter that is told each record by itself, how many on its busiest day since
-- an instant, by the time of the records.
SELECT account, meter, max(records) AS busiest_day FROM (
  SELECT l.account, d.meter, count(*) AS records
  FROM lane AS l JOIN destination AS d ON d.id = l.destination_id
  CROSS JOIN meter_event AS e ON e.lane_id = l.id AND e.occurred_at >= ?2
  JOIN balance AS b ON b.id = e.balance_id AND b.record_position <> 0
  WHERE l.provider = ?1 AND e.kind = 'usage' AND e.state <> 'void'
  GROUP BY l.id, e.occurred_at / 86400000000)
GROUP BY account, meter
