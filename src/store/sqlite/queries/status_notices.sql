SELECT provider, state, count(*) AS count, max(received_at) AS newest_at FROM notice
GROUP BY state, provider
