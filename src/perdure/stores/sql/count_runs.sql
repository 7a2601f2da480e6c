-- The number of runs in a list, whose query `list_queries` fills in; the same in every database.
SELECT count(*) FROM (
{list}
) AS counted
