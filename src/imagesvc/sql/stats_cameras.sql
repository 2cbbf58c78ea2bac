-- stats_cameras: images by camera, without those that are `rejected`. Spellings of one name are counted together.
--
-- Columns: model (in its most frequent spelling; NULL: images without a camera), count (never 0).
--
-- Read by: operators in psql.

CREATE OR REPLACE VIEW stats_cameras AS
    SELECT nullif((array_agg(name ORDER BY count DESC, name))[1], '') AS model, sum(count)::bigint AS count
    FROM (SELECT name, sum(count) AS count FROM stats_all WHERE kind = 'camera' GROUP BY name) AS spelling
    GROUP BY camera_key(name) HAVING sum(count) <> 0;
