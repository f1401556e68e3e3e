-- Routes in force that the configuration no longer has, or has otherwise.
UPDATE route_version SET retired_at = ?2
WHERE retired_at IS NULL AND NOT EXISTS (
  SELECT 1 FROM json_each(?1) AS wanted
  WHERE wanted.value ->> 0 = route_version.name AND wanted.value ->> 1 = route_version.definition)
