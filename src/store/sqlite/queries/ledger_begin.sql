-- The first run names the ledger; each run is counted.
INSERT INTO ledger (one, id, created_at, epoch, mapping_version) VALUES (1, ?1, ?2, 1, 1)
ON CONFLICT (one) DO UPDATE SET epoch = epoch + 1
RETURNING id, epoch
