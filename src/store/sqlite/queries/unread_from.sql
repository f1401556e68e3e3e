-- When the oldest record arrived that accrual has not read.
SELECT recorded_at FROM usage_record
WHERE position > (SELECT position FROM watermark WHERE room = 'accrual') ORDER BY position LIMIT 1
