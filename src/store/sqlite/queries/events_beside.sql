-- How many events of a balance tell usage, and how many of them at a time outside of a window.
SELECT count(*) AS told, coalesce(sum(occurred_at < ?2 OR occurred_at >= ?3), 0) AS beside
FROM meter_event
WHERE balance_id = ?1 AND kind = 'usage' AND state NOT IN ('void', 'superseded', 'dead')
