SELECT kind, name, source, heard_at, gaps, told_at FROM cadence ORDER BY kind, name
