SELECT id, name, definition FROM route_version WHERE retired_at IS NULL
