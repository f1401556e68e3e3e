-- A balance stays whole while one of its records does: one that is also booked to a balance that
-- stays, that waits in front of a route, that a copy contradicts and nobody decided, that has a
-- correction which was not booked yet, or one without effect that nobody made up for: those are of
-- the records in ?1; or that a view of usage has not counted, with all that corrected it. The
-- newest record and the newest booking always stay, as the next are numbered by them.
DELETE FROM copy.balance WHERE id IN (
  SELECT c.id FROM copy.balance AS c CROSS JOIN main.booking AS k ON k.balance_id = c.id
  CROSS JOIN main.usage_record AS r ON r.position = k.record_position
  WHERE r.position = (SELECT max(position) FROM main.usage_record)
    OR EXISTS (SELECT 1 FROM main.usage_view AS v
      WHERE v.is_retired = 0 AND v.position < r.position)
    -- A window that is kept whole may hold what is of after its end.
    OR r.occurred_at >= ?2
    OR k.id = (SELECT max(id) FROM main.booking)
    OR EXISTS (SELECT 1 FROM main.booking AS o WHERE o.record_position = r.position
      AND o.balance_id NOT IN (SELECT id FROM copy.balance))
    OR EXISTS (SELECT 1 FROM main.parked_record AS p WHERE p.record_position = r.position)
    OR EXISTS (SELECT 1 FROM main.conflicting_record AS x
      WHERE x.position = r.position AND x.decided IS NULL)
    OR r.identity IN (SELECT unhex(value) FROM json_each(?1))
    OR EXISTS (SELECT 1 FROM main.correction AS f WHERE f.identity = r.identity
      AND (f.id > (SELECT position FROM main.watermark WHERE room = 'corrections')
        OR EXISTS (SELECT 1 FROM main.usage_view AS v
          WHERE v.is_retired = 0 AND v.corrected_to < f.id))))
