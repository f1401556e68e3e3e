-- Lanes to compare: of these meters, with an event that no total has proven and that is old enough.
-- What waits for nothing but a total goes first; what only a person can end is looked at beside it.
-- A cancel is looked for where its target's time is. The indexes are named, as the engine would
-- read all events that a lane ever had.
WITH wanted AS (
  SELECT l.id, d.meter, l.account, l.checked_at, l.check_grouping, m.value ->> 1 AS ripe_before,
    (SELECT min(r.start_at) FROM reading AS r INDEXED BY reading_lane
      WHERE r.lane_id = l.id AND r.read_at = l.checked_at
        AND r.finding = 'first_seen') AS seen_from,
    (SELECT max(r.end_at) FROM reading AS r INDEXED BY reading_lane
      WHERE r.lane_id = l.id AND r.read_at = l.checked_at
        AND r.finding = 'first_seen') AS seen_to,
    (SELECT min(r.start_at) FROM reading AS r INDEXED BY reading_lane
      WHERE r.lane_id = l.id AND r.read_at = l.checked_at) AS last_from
  FROM json_each(?2) AS m CROSS JOIN destination AS d
    ON d.provider = ?1 AND d.meter = m.value ->> 0
  CROSS JOIN lane AS l ON l.destination_id = d.id
  WHERE l.checked_at IS NULL OR l.checked_at <= ?4
), unproven AS (
  SELECT w.*, max(e.hold_reason IN (SELECT value FROM json_each(?6))) IS TRUE AS waits,
    min(coalesce(t.occurred_at, e.occurred_at))
      FILTER (WHERE e.state = 'accepted') AS accepted_from,
    min(coalesce(t.occurred_at, e.occurred_at)) AS oldest,
    max(coalesce(t.occurred_at, e.occurred_at)) AS newest,
    min(coalesce(e.last_attempt_at, e.moved_at)) AS touched
  FROM wanted AS w CROSS JOIN meter_event AS e INDEXED BY meter_event_unproven ON e.lane_id = w.id
  LEFT JOIN meter_event AS t ON t.id = e.target_id
  WHERE e.state IN ('unknown', 'accepted', 'held')
    AND (e.state = 'accepted' OR (e.state = 'held' AND e.ambiguous = 1))
    AND (w.checked_at IS NULL OR w.checked_at <= ?3 OR w.seen_from IS NOT NULL)
  GROUP BY w.id
)
SELECT id, meter, account, check_grouping, waits, oldest, newest, accepted_from, last_from,
  seen_from, seen_to
FROM unproven
WHERE touched <= ripe_before ORDER BY waits DESC, checked_at, id LIMIT ?5
