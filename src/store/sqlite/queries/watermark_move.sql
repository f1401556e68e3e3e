UPDATE watermark SET position = ?2 WHERE room = ?3 AND position = ?1
