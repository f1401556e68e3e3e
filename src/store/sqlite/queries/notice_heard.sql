-- When the newest webhook came: of each state the newest, which the index knows.
SELECT max(n.received_at) AS heard_at FROM json_each('["waiting", "acted", "ignored"]') AS s
CROSS JOIN notice AS n ON n.state = s.value AND n.provider = ?1 WHERE n.came_by = 'webhook'
