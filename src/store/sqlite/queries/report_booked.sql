SELECT EXISTS (SELECT 1 FROM destination AS d CROSS JOIN balance AS b ON b.destination_id = d.id
  AND b.account = ?3 AND b.window_start < ?5 AND b.window_end > ?4
  WHERE d.provider = ?1 AND d.meter = ?2) AS booked
