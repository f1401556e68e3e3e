SELECT w.position, l.mapping_version FROM watermark AS w, ledger AS l WHERE w.room = 'accrual'
