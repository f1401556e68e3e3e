-- Only what changes is written, so that an import repeated changes nothing.
INSERT INTO account (provider, customer, account, imported_at)
SELECT ?1, value ->> 0, value ->> 1, ?3 FROM json_each(?2) WHERE true
ON CONFLICT (provider, customer) DO UPDATE SET account = excluded.account,
  imported_at = excluded.imported_at
WHERE account <> excluded.account
