UPDATE meter_event SET deadline_at = n.value ->> 1
FROM json_each(?1) AS n WHERE meter_event.id = n.value ->> 0
