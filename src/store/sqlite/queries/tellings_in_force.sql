SELECT t.provider, t.mode FROM telling AS t
WHERE t.id = (SELECT max(o.id) FROM telling AS o WHERE o.provider = t.provider)
ORDER BY t.provider
