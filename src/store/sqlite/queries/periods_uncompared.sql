-- Has final invoices over the usage of these events compared anew.
UPDATE billing_period SET compared_at = NULL
WHERE compared_at IS NOT NULL AND id IN (
  SELECT p.id FROM json_each(?1) AS n CROSS JOIN meter_event AS e ON e.id = n.value
    CROSS JOIN lane AS l ON l.id = e.lane_id
    CROSS JOIN destination AS d ON d.id = l.destination_id
    CROSS JOIN billing_period AS p ON p.provider = l.provider AND p.account = l.account
      AND p.meter = d.meter AND p.start_at <= e.occurred_at AND p.end_at > e.occurred_at)
