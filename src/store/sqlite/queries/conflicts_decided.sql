-- Which of some copies a person decided for, as (position, content).
SELECT c.position, c.content FROM json_each(?1) AS wanted
CROSS JOIN conflicting_record AS c
  ON c.position = wanted.value ->> 0 AND c.content = unhex(wanted.value ->> 1)
WHERE c.decided = 'second'
