SELECT kind, count(*) AS count FROM cadence GROUP BY kind
