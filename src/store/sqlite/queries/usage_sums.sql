-- One row for all of them: each row that leaves the engine costs more than to read it does.
SELECT json_group_array(json_array(bucket, subscription, quantity, records)) AS sums,
  count(*) AS count
FROM (SELECT s.bucket, s.subscription, s.quantity, s.records
  FROM json_each(?3) AS slice CROSS JOIN usage_sum AS s ON s.view_id = ?1 AND s.customer = ?2
    AND s.grain = slice.value ->> 0 AND s.start_at >= slice.value ->> 1
    AND s.start_at < slice.value ->> 2
  LIMIT ?4)
