-- What each value of a balance came to, where that is more than nothing.
SELECT member, level FROM balance_member WHERE balance_id = ?1 AND level <> '0'
