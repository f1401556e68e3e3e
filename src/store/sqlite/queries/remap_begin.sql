INSERT INTO remap (source, customer, meter, from_at, until_at, mapping_version, to_position, why,
  who, asked_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id
