-- In the order of the identities, so that each page of their index is written once.
INSERT INTO main.archived_record (identity, content, position, archive_id)
SELECT identity, content, position, ?1 FROM copy.usage_record ORDER BY identity
