SELECT id, recorded_at, 'customer ' || customer || ', meter ' || meter || ', quantity ' || quantity
  || ', properties ' || properties AS says, occurred_at, decided
FROM conflicting_record WHERE position = ?1 ORDER BY id
