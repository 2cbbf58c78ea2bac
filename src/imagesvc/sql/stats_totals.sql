-- stats_totals: the totals of the statistics, in one row.
--
-- Columns: images, blobs, uploads (without rejected ones and their uploads), bytes_received (of the uploads),
-- bytes_stored (originals of the blobs). All are 0 in an empty database.
--
-- Read by: metrics/database_gauges.py, and operators in psql.

CREATE OR REPLACE VIEW stats_totals AS
    SELECT
        coalesce(sum(count) FILTER (WHERE kind = 'format'), 0)::bigint AS images,
        coalesce(sum(count) FILTER (WHERE kind = 'blobs'), 0)::bigint AS blobs,
        coalesce(sum(count) FILTER (WHERE kind = 'uploads'), 0)::bigint AS uploads,
        coalesce(sum(bytes) FILTER (WHERE kind = 'uploads'), 0)::bigint AS bytes_received,
        coalesce(sum(bytes) FILTER (WHERE kind = 'blobs'), 0)::bigint AS bytes_stored
    FROM stats_all WHERE kind IN ('format', 'blobs', 'uploads');
