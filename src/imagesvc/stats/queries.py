"""The statements of the statistics, all by asyncpg: the report is one round trip, the fold one transaction.

Each statement has the frozen class of its rows beside it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypedDict


class FormatEntry(TypedDict):
    media_type: str
    count: int


class CameraEntry(TypedDict):
    model: str
    count: int


class DayEntry(TypedDict):
    date: str
    """ISO 8601"""
    count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """The result of ``REPORT``. A member is None when there is nothing to count; the list of days is complete."""

    formats: Sequence[FormatEntry] | None
    cameras: Sequence[CameraEntry] | None
    cameras_unknown: int | None
    scores: Mapping[str, int] | None
    uploads_per_day: Sequence[DayEntry]
    images: int | None
    blobs: int | None
    uploads: int | None
    bytes_received: int | None
    bytes_stored: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FoldRow:
    """The result of ``FOLD``: how many appended changes were folded."""

    folded: int


REPORT = """
    -- $1 number of days, $2 time zone. In every zone a day begins with a quarter of an hour, so quarters are compared
    -- by name with those that begin a day: a fifth of the cost of parsing each name as a time.
    WITH days AS MATERIALIZED (
        SELECT day, stats_quarter(day::timestamp AT TIME ZONE $2) COLLATE "C" AS begin
        FROM (SELECT (now() AT TIME ZONE $2)::date - ago AS day FROM generate_series(0, $1 - 1) AS ago) AS latest
    ), counted AS MATERIALIZED (
        SELECT kind, name, sum(count)::bigint AS count, sum(bytes)::bigint AS bytes
        FROM stats_all WHERE kind IN ('format', 'camera', 'score', 'uploads', 'blobs') GROUP BY kind, name
    ), received AS (
        SELECT width_bucket(name COLLATE "C", (SELECT array_agg(begin ORDER BY begin) FROM days)) AS day_number,
               sum(count)::bigint AS count
        FROM stats_all WHERE kind = 'quarter' AND name >= (SELECT min(begin) FROM days) GROUP BY 1
    )
    SELECT
        (SELECT json_agg(json_build_object('media_type', name, 'count', count) ORDER BY count DESC, name)
         FROM counted WHERE kind = 'format' AND count <> 0) AS formats,
        (SELECT json_agg(c) FROM (
            SELECT (array_agg(name ORDER BY count DESC, name))[1] AS model, sum(count)::bigint AS count
            FROM counted WHERE kind = 'camera' AND name <> '' AND count <> 0
            GROUP BY camera_key(name) HAVING sum(count) <> 0 ORDER BY sum(count) DESC, 1 LIMIT 10) c) AS cameras,
        (SELECT count FROM counted WHERE kind = 'camera' AND name = '') AS cameras_unknown,
        (SELECT json_object_agg(name, count) FROM counted WHERE kind = 'score' AND count <> 0) AS scores,
        (SELECT json_agg(json_build_object('date', day, 'count', coalesce(count, 0)) ORDER BY day)
         FROM (SELECT day, row_number() OVER (ORDER BY day) AS day_number FROM days) d
         LEFT JOIN received USING (day_number)
        ) AS uploads_per_day,
        (SELECT sum(count) FROM counted WHERE kind = 'format')::bigint AS images,
        (SELECT sum(count) FROM counted WHERE kind = 'blobs')::bigint AS blobs,
        (SELECT count FROM counted WHERE kind = 'uploads') AS uploads,
        (SELECT bytes FROM counted WHERE kind = 'uploads') AS bytes_received,
        (SELECT sum(bytes) FROM counted WHERE kind = 'blobs')::bigint AS bytes_stored
"""

FOLD = """
    -- $1 max. rows. Skips rows that another fold has locked. It is one statement, so a reader counts each row once.
    WITH deleted AS (
        DELETE FROM stats_deltas WHERE id IN (SELECT id FROM stats_deltas ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING kind, name, count, bytes
    ), folded AS (
        INSERT INTO stats_counts AS c (kind, name, count, bytes)
        SELECT kind, name, sum(count), sum(bytes) FROM deleted GROUP BY kind, name ORDER BY kind, name
        ON CONFLICT (kind, name) DO UPDATE SET count = c.count + excluded.count, bytes = c.bytes + excluded.bytes
    )
    SELECT count(*) AS folded FROM deleted
"""
