UPDATE balance SET accrued = n.value ->> 1, digest = unhex(n.value ->> 2),
  newest_at = n.value ->> 3, booked_to = n.value ->> 4, due_at = n.value ->> 5,
  reads = n.value ->> 6, stands_at = n.value ->> 7,
  version = version + 1
FROM json_each(?1) AS n WHERE balance.id = n.value ->> 0
