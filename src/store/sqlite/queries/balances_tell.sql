UPDATE balance SET told = n.value ->> 1, told_to = n.value ->> 2, events = events + (n.value ->> 3),
  due_at = n.value ->> 4, finer = n.value ->> 5, version = version + 1
FROM json_each(?1) AS n WHERE balance.id = n.value ->> 0
