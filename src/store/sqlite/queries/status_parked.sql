SELECT reason, count(*) AS count FROM parked_record GROUP BY reason ORDER BY reason
