"""The statement of the report: one round trip by asyncpg, which reads the stores and one index and returns JSON text.

The JSON of days is built by string concatenation: a month of an area has thousands of days, and building as many JSON
objects takes longer than adding up their images. The text contains only the conditions of the filters that the request
has, so that the planner need not consider the others.
"""

import dataclasses
from functools import cache

_REPORT = """
    -- $1 owner, $2 area, $3 store, $4 first day, $5 last day, $6 last store of the previous page, $7 limit of stores
    WITH wanted AS (
        SELECT s.id, s.area, s.name, coalesce(s.time_zone, 'UTC') AS zone, t.from_time, t.to_time
        FROM stores s CROSS JOIN LATERAL (
            SELECT coalesce($4::date::timestamp AT TIME ZONE coalesce(s.time_zone, 'UTC'), '-infinity') AS from_time,
                   coalesce(($5::date + 1)::timestamp AT TIME ZONE coalesce(s.time_zone, 'UTC'), 'infinity') AS to_time
        ) t
        WHERE s.id > $6 {where} AND EXISTS (
            SELECT FROM visit_images i WHERE i.state = 'done' AND i.store_id = s.id
            AND i.visit_time >= t.from_time AND i.visit_time < t.to_time {owner})
        ORDER BY s.id LIMIT $7 + 1
    ), shown AS (SELECT * FROM wanted ORDER BY id LIMIT $7),
    days AS (
        SELECT w.id, (i.visit_time AT TIME ZONE w.zone)::date AS date,
               count(*) AS images, sum(i.perimeter) AS perimeter,
               round(avg(i.seconds)::numeric, 3) AS average_seconds, round(avg(i.score), 1) AS average_score
        FROM shown w JOIN visit_images i ON i.store_id = w.id AND i.state = 'done'
            AND i.visit_time >= w.from_time AND i.visit_time < w.to_time {owner}
        GROUP BY 1, 2
    ), data AS (
        SELECT id, string_agg(concat(
            '{"date":"', to_char(date, 'YYYY-MM-DD'), '","images":', images, ',"perimeter":', perimeter,
            ',"average_seconds":', average_seconds,
            ',"average_score":', coalesce(average_score::text, 'null'), '}'), ',' ORDER BY date) AS days
        FROM days GROUP BY id
    )
    SELECT concat('[', string_agg(concat(
               '{"store_id":', to_json(s.id), ',"area":', to_json(s.area), ',"store_name":', to_json(s.name),
               ',"data":[', data.days, ']}'), ',' ORDER BY s.id), ']') AS results,
           max(s.id) AS last_id, (SELECT count(*) FROM wanted) > $7 AS has_more
    FROM shown s JOIN data ON data.id = s.id
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """``results`` is a JSON array. ``last_id`` is the last store in it, None when there is none."""

    results: str
    last_id: str | None
    has_more: bool


@cache
def report(*, is_for_all_owners: bool, has_area: bool, has_store: bool) -> str:
    """The statement for these filters. All variants have the same parameters."""
    area = "AND s.area = $2" if has_area else "AND $2::text IS NULL"
    store = "AND s.id = $3" if has_store else "AND $3::text IS NULL"
    owner = "AND $1::uuid IS NOT NULL" if is_for_all_owners else "AND i.owner_id = $1"
    return _REPORT.replace("{where}", f"{area} {store}").replace("{owner}", owner)


STORE_EXISTS = "SELECT FROM stores WHERE id = $1"
