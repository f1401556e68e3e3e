-- Balances that are no sums of their lines.
SELECT id, fold FROM balance WHERE fold <> 'sum' ORDER BY id
