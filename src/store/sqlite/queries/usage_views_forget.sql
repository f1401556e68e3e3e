DELETE FROM usage_view WHERE is_retired = 1
  AND NOT EXISTS (SELECT 1 FROM usage_sum AS s WHERE s.view_id = usage_view.id)
