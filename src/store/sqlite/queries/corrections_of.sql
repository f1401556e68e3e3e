-- The corrections of some records, in the order in which they were accepted.
SELECT c.identity, c.id, c.name, c.kind, c.quantity, c.replaces
FROM json_each(?1) AS wanted CROSS JOIN correction AS c ON c.identity = unhex(wanted.value)
ORDER BY c.identity, c.id
