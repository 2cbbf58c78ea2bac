-- stats_uploads_per_day: uploads by the UTC day on which they were received, without those of rejected images.
--
-- Columns: date, count (never 0; days without uploads have no row).
--
-- Read by: operators in psql. The HTTP report counts the days of any time zone (stats/queries.py).

CREATE OR REPLACE VIEW stats_uploads_per_day AS
    SELECT left(name, 10)::date AS date, sum(count)::bigint AS count
    FROM stats_all WHERE kind = 'quarter'
    GROUP BY left(name, 10) HAVING sum(count) <> 0;
