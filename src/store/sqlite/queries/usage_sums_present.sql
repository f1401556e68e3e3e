-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
SELECT wanted.key AS place, s.quantity, s.records
FROM json_each(?1) AS wanted CROSS JOIN usage_sum AS s ON s.view_id = wanted.value ->> 0
  AND s.customer = wanted.value ->> 1 AND s.grain = wanted.value ->> 2
  AND s.start_at = wanted.value ->> 3 AND s.bucket = wanted.value ->> 4
  AND s.subscription = wanted.value ->> 5
