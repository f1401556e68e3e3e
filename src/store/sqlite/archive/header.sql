SELECT ledger, id, before_at, made_at, records, bookings FROM main.archive
