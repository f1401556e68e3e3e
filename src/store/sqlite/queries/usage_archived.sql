SELECT max(before_at) AS before_at FROM archive
