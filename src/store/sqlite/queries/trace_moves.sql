SELECT moved_at, from_state, to_state, why FROM event_move WHERE event_id = ?1 ORDER BY id
