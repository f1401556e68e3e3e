SELECT low, high FROM foreign_total WHERE provider = ?1 AND account = ?2 AND meter = ?3
  AND kind = 'opening' AND start_at = ?4 AND end_at = ?5
