UPDATE ledger SET mapping_version = mapping_version + 1 WHERE one = 1
