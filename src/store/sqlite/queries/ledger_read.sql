SELECT id, epoch, mapping_version FROM ledger WHERE one = 1
