-- The lines that balances have of some records. CROSS JOIN keeps the order, as elsewhere.
SELECT k.record_position AS position, k.route_version_id, v.definition, k.quantity, k.cause,
  k.cause_id, coalesce(s.corrected_to, 0) AS corrected_to, b.provider, d.meter, b.account,
  b.dimensions, b.window_start, b.window_end, b.record_position
FROM json_each(?1) AS wanted CROSS JOIN booking AS k ON k.record_position = wanted.value
CROSS JOIN route_version AS v ON v.id = k.route_version_id
CROSS JOIN balance AS b ON b.id = k.balance_id
CROSS JOIN destination AS d ON d.id = b.destination_id
LEFT JOIN remap_step AS s ON k.cause = 'remap_to' AND s.id = k.cause_id
ORDER BY k.id
