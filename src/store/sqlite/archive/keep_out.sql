-- What is archived is not booked again, however late it is sent again: the engine leaves it out.
CREATE TRIGGER IF NOT EXISTS main.usage_record_is_not_archived BEFORE INSERT ON usage_record
WHEN EXISTS (SELECT 1 FROM archived_record AS a WHERE a.identity = NEW.identity)
BEGIN SELECT RAISE(IGNORE); END
