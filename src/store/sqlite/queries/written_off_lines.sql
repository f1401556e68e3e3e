-- What was written off of the records of an event: the lines of its own write-off, each with all
-- lines that write off of that record or take back.
SELECT k.balance_id, k.record_position, k.route_version_id, k.member, r.identity, r.occurred_at,
  k.quantity, o.quantity AS other
FROM meter_event AS e
CROSS JOIN resolution AS s ON s.item = 'event' AND s.item_id = e.id AND s.verdict = 'write_off'
CROSS JOIN booking AS k ON k.balance_id = e.balance_id AND k.cause = 'write_off'
  AND k.cause_id = s.id
CROSS JOIN usage_record AS r ON r.position = k.record_position
CROSS JOIN booking AS o ON o.record_position = k.record_position
  AND o.destination_id = k.destination_id AND o.balance_id = k.balance_id
  AND o.cause IN ('write_off', 'reversal', 'presence')
WHERE e.id = ?1 ORDER BY k.id, o.id
