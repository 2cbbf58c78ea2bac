-- stats_formats: images by media type, without those that are `rejected`.
--
-- Columns: media_type, count (never 0).
--
-- Read by: metrics/database_gauges.py, and operators in psql.

CREATE OR REPLACE VIEW stats_formats AS
    SELECT name AS media_type, sum(count)::bigint AS count
    FROM stats_all WHERE kind = 'format'
    GROUP BY name HAVING sum(count) <> 0;
