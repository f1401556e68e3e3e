-- Some of the events that were not told to an end.
SELECT id FROM meter_event WHERE state IN ('pending', 'unknown') LIMIT ?1
