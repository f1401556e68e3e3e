DELETE FROM absence WHERE end_at < ?1
