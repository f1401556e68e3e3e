-- Of the newest events: how many there are, and how many are held.
SELECT count(*) AS events, count(*) FILTER (WHERE state = 'held') AS held
FROM (SELECT state FROM meter_event ORDER BY id DESC LIMIT ?1)
