INSERT INTO export_event (export_id, destination_id, event_id)
SELECT ?1, n.value ->> 0, n.value ->> 1 FROM json_each(?2) AS n
