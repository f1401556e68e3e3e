-- Lines that are of a value, with the property that their route counts by and the record's own.
SELECT k.id, k.member, v.definition ->> '$.unique' AS property, r.properties
FROM booking AS k JOIN usage_record AS r ON r.position = k.record_position
JOIN route_version AS v ON v.id = k.route_version_id
WHERE k.member IS NOT NULL ORDER BY k.id
