UPDATE lane SET event_id = n.value ->> 1
FROM json_each(?1) AS n WHERE lane.id = n.value ->> 4
