DELETE FROM cadence WHERE (kind, name) IN
  (SELECT n.value ->> 0, n.value ->> 1 FROM json_each(?1) AS n)
