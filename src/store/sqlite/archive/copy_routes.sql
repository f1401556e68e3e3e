INSERT INTO copy.route_version (id, name, definition)
SELECT id, name, definition FROM main.route_version
WHERE id IN (SELECT route_version_id FROM copy.booking)
