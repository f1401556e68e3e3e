-- How long the newest answers of a provider that said yes took, in microseconds, with what this
-- host did between lease and request.
SELECT r.answered_at - a.begun_at AS micros
FROM attempt AS a JOIN receipt AS r ON r.attempt_id = a.id
JOIN meter_event AS e ON e.id = a.event_id JOIN lane AS l ON l.id = e.lane_id
WHERE a.id > (SELECT coalesce(max(id), 0) - ?2 FROM attempt) AND l.provider = ?1
  AND r.outcome = 'accepted' ORDER BY micros
