-- Balances that gave usage to some others, directly or by way of others, as a bound that cuts their
-- windows was learned late: what they should hold and were told, whether something is taken away
-- from them, and whether that, or their rest, is held; and whether one that has no value any longer
-- is said to have one, which may be nothing. A line that brings is made after the one
-- that takes, which it names.
-- CROSS JOIN keeps the order: from what came with the call, which is read once, to the rows.
WITH RECURSIVE giver (balance_id, id) AS (
  SELECT k.balance_id, g.balance_id FROM json_each(?1) AS wanted
    CROSS JOIN booking AS k ON k.balance_id = wanted.value AND k.cause = 'transfer'
    CROSS JOIN booking AS g ON g.id = k.cause_id AND g.id < k.id
  UNION
  SELECT giver.balance_id, g.balance_id FROM giver
    CROSS JOIN booking AS k ON k.balance_id = giver.id AND k.cause = 'transfer'
    CROSS JOIN booking AS g ON g.id = k.cause_id AND g.id < k.id
)
SELECT giver.balance_id, o.accrued, o.told,
  EXISTS (SELECT 1 FROM meter_event AS e WHERE e.balance_id = o.id AND e.kind = 'cancel'
    AND e.state IN ('pending', 'in_flight', 'unknown')) AS going,
  EXISTS (SELECT 1 FROM meter_event AS e WHERE e.balance_id = o.id AND e.kind = 'cancel'
    AND e.state = 'held') AS held,
  EXISTS (SELECT 1 FROM balance_hold AS h WHERE h.balance_id = o.id) AS rest_held,
  o.fold NOT IN ('sum', 'unique') AND o.reads = 0 AND EXISTS (SELECT 1 FROM meter_event AS e
    WHERE e.balance_id = o.id AND e.kind = 'usage'
      AND e.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')
      AND NOT EXISTS (SELECT 1 FROM meter_event AS c
        WHERE c.balance_id = e.balance_id AND c.target_id = e.id
        AND c.state IN ('pending', 'in_flight', 'unknown', 'accepted', 'settled', 'held')))
    AS speaks
FROM giver CROSS JOIN balance AS o ON o.id = giver.id
CROSS JOIN balance AS b ON b.id = giver.balance_id
WHERE o.id <> b.id AND o.window_start < b.window_end AND o.window_end > b.window_start
