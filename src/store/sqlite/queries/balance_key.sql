SELECT b.provider, d.meter, b.account, b.dimensions, b.window_start, b.window_end,
  b.record_position, b.version
FROM balance AS b JOIN destination AS d ON d.id = b.destination_id
WHERE b.id = ?1
