-- One that was learned anew meanwhile is not the one that was compared.
UPDATE billing_period SET compared_at = ?2
FROM json_each(?1) AS seen
WHERE billing_period.id = seen.value ->> 0 AND billing_period.learned_at = seen.value ->> 1
  AND billing_period.billed IS NOT NULL
