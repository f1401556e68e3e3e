-- Providers that were contacted, each with whether it is in shadow, and how many balances have
-- usage that another program told.
SELECT p.name, p.account, p.livemode, p.pause_reason, p.paused_at,
  coalesce((SELECT t.mode = 'shadow' FROM telling AS t WHERE t.provider = p.name
    ORDER BY t.id DESC LIMIT 1), 0) AS in_shadow,
  (SELECT count(DISTINCT b.id) FROM resolution AS s JOIN balance AS b ON b.id = s.item_id
   WHERE s.verdict = 'told_before' AND s.item = 'balance' AND b.provider = p.name) AS told_before
FROM provider AS p ORDER BY p.name
