SELECT e.id, e.state FROM json_each(?1) AS wanted CROSS JOIN meter_event AS e ON e.id = wanted.value
