-- The notices that the asked for repeat, by their names or as the other form of the same.
SELECT value ->> 0 AS asked,
  coalesce(
    (SELECT n.id FROM notice AS n WHERE n.provider = value ->> 1 AND n.event = value ->> 2),
    (SELECT n.id FROM notice AS n WHERE n.provider = value ->> 1 AND n.announcement = value ->> 3)
  ) AS id
FROM json_each(?1)
