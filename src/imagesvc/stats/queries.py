"""Statements of the statistics: one round trip for the whole report."""

REPORT = """
    -- $1 days, $2 time zone. Days begin with a quarter of an hour in every zone: so the names of the quarters are only
    -- compared with those that days begin with, which costs a fifth of reading each as a time
    WITH days AS MATERIALIZED (
        SELECT day, stats_quarter(day::timestamp AT TIME ZONE $2) COLLATE "C" AS begin
        FROM (SELECT (now() AT TIME ZONE $2)::date - ago AS day FROM generate_series(0, $1 - 1) AS ago) AS latest
    ), counted AS MATERIALIZED (
        SELECT kind, name, sum(count)::bigint AS count, sum(bytes)::bigint AS bytes
        FROM stats_all WHERE kind IN ('format', 'camera', 'uploads', 'blobs') GROUP BY kind, name
    ), arrived AS (
        SELECT width_bucket(name COLLATE "C", (SELECT array_agg(begin ORDER BY begin) FROM days)) AS place,
               sum(count)::bigint AS count
        FROM stats_all WHERE kind = 'quarter' AND name >= (SELECT min(begin) FROM days) GROUP BY 1
    )
    SELECT
        (SELECT json_agg(json_build_object('media_type', name, 'count', count) ORDER BY count DESC, name)
         FROM counted WHERE kind = 'format' AND count <> 0) AS formats,
        (SELECT json_agg(c) FROM (
            SELECT name AS model, count FROM counted WHERE kind = 'camera' AND name <> '' AND count <> 0
            ORDER BY count DESC, name LIMIT 10) c) AS cameras,
        (SELECT count FROM counted WHERE kind = 'camera' AND name = '') AS cameras_unknown,
        (SELECT json_agg(json_build_object('date', day, 'count', coalesce(count, 0)) ORDER BY day)
         FROM (SELECT day, row_number() OVER (ORDER BY day) AS place FROM days) d LEFT JOIN arrived USING (place)
        ) AS uploads_per_day,
        (SELECT sum(count) FROM counted WHERE kind = 'format')::bigint AS images,
        (SELECT sum(count) FROM counted WHERE kind = 'blobs')::bigint AS blobs,
        (SELECT count FROM counted WHERE kind = 'uploads') AS uploads,
        (SELECT bytes FROM counted WHERE kind = 'uploads') AS bytes_received,
        (SELECT sum(bytes) FROM counted WHERE kind = 'blobs')::bigint AS bytes_stored
"""

FOLD = """
    -- what is being folded by another is skipped; a reader sees all of this or nothing of it
    WITH gone AS (
        DELETE FROM stats_deltas WHERE id IN (SELECT id FROM stats_deltas ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING kind, name, count, bytes
    ), folded AS (
        INSERT INTO stats_counts AS c (kind, name, count, bytes)
        SELECT kind, name, sum(count), sum(bytes) FROM gone GROUP BY kind, name ORDER BY kind, name
        ON CONFLICT (kind, name) DO UPDATE SET count = c.count + excluded.count, bytes = c.bytes + excluded.bytes
    )
    SELECT count(*) AS folded FROM gone
"""
