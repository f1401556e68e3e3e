-- How many records archives hold, and until when the newest of their windows ended.
SELECT coalesce(sum(records), 0) AS records, max(before_at) AS before_at FROM archive
