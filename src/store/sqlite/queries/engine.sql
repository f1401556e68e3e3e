-- What the engine is and how it was opened.
SELECT sqlite_version() AS version, s.synchronous AS synchronous, j.journal_mode AS journal
FROM pragma_synchronous AS s, pragma_journal_mode AS j
