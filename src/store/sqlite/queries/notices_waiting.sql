SELECT id, provider, event, announcement, kind, created_at, livemode, object_kind, object_id,
  came_by, received_at, duplicates, body
FROM notice WHERE state = 'waiting' AND provider = ?1 ORDER BY received_at, id LIMIT ?2
