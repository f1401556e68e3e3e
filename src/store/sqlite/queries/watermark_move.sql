UPDATE watermark SET position = ?2 WHERE room = 'accrual' AND position = ?1
