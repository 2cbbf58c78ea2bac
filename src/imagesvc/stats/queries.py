"""Statements of the statistics: one round trip for the whole report."""

REPORT = """
    -- $1 days, $2 time zone
    WITH everything AS MATERIALIZED (
        SELECT kind, sum(count)::bigint AS count, sum(bytes)::bigint AS bytes,
               CASE kind WHEN 'quarter' THEN (name::timestamptz AT TIME ZONE $2)::date::text ELSE name END AS name
        FROM stats_all
        WHERE kind <> 'quarter'
           OR name >= to_char((now() - make_interval(days => $1 + 2)) AT TIME ZONE 'UTC', 'YYYY-MM-DD')
        GROUP BY kind, 4
    ), days AS (
        SELECT (now() AT TIME ZONE $2)::date - ago AS day FROM generate_series(0, $1 - 1) AS ago
    )
    SELECT
        (SELECT json_agg(json_build_object('media_type', name, 'count', count) ORDER BY count DESC, name)
         FROM everything WHERE kind = 'format' AND count <> 0) AS formats,
        (SELECT json_agg(c) FROM (
            SELECT name AS model, count FROM everything WHERE kind = 'camera' AND name <> '' AND count <> 0
            ORDER BY count DESC, name LIMIT 10) c) AS cameras,
        (SELECT count FROM everything WHERE kind = 'camera' AND name = '') AS cameras_unknown,
        (SELECT json_agg(json_build_object('date', day, 'count', coalesce(count, 0)) ORDER BY day)
         FROM days LEFT JOIN everything ON kind = 'quarter' AND name = day::text) AS uploads_per_day,
        (SELECT sum(count) FROM everything WHERE kind = 'format')::bigint AS images,
        (SELECT count FROM everything WHERE kind = 'blobs') AS blobs,
        (SELECT count FROM everything WHERE kind = 'uploads') AS uploads,
        (SELECT bytes FROM everything WHERE kind = 'uploads') AS bytes_received,
        (SELECT bytes FROM everything WHERE kind = 'blobs') AS bytes_stored
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
