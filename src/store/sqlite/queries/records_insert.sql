-- One row of placeholders stands here; the caller repeats it for each record of a batch.
INSERT INTO usage_record (identity, content, source, id, customer, meter, quantity, occurred_at,
  recorded_at, properties)
VALUES (?,?,?,?,?,?,?,?,?,?)
ON CONFLICT (identity) DO NOTHING
