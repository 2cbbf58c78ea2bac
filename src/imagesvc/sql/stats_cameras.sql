-- stats_cameras: images by camera, without those that are `rejected`.
--
-- Columns: model (NULL: images without a camera), count (never 0).
--
-- Read by: operators in psql.

CREATE OR REPLACE VIEW stats_cameras AS
    SELECT nullif(name, '') AS model, sum(count)::bigint AS count
    FROM stats_all WHERE kind = 'camera'
    GROUP BY name HAVING sum(count) <> 0;
