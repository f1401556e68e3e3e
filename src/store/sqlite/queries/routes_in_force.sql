SELECT id, name FROM route_version WHERE retired_at IS NULL
