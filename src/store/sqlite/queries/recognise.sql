-- Whose file this is. A first start that was cut short leaves no more than the migrations' own
-- table.
SELECT a.application_id AS application,
  EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations') AS filled
FROM pragma_application_id AS a
