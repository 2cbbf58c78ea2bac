"""The statement behind the report: one round trip, which reads the stores and one index; the database writes the JSON.

Days are written as text: a month of an area is thousands of them, and as many JSON objects took longer than the sums.
The filters that are not given are left out of the text, so that the plan need not provide for them.
"""

from functools import cache

_REPORT = """
    -- $1 whose, $2 area, $3 store, $4 first day, $5 last day, $6 after this store, $7 how many stores
    WITH wanted AS (
        SELECT s.id, s.area, s.name, coalesce(s.time_zone, 'UTC') AS zone, t.begins, t.ends
        FROM stores s CROSS JOIN LATERAL (
            SELECT coalesce($4::date::timestamp AT TIME ZONE coalesce(s.time_zone, 'UTC'), '-infinity') AS begins,
                   coalesce(($5::date + 1)::timestamp AT TIME ZONE coalesce(s.time_zone, 'UTC'), 'infinity') AS ends
        ) t
        WHERE s.id > $6 {where} AND EXISTS (
            SELECT FROM visit_images i WHERE i.state = 'done' AND i.store_id = s.id
            AND i.visit_time >= t.begins AND i.visit_time < t.ends {whose})
        ORDER BY s.id LIMIT $7 + 1
    ), shown AS (SELECT * FROM wanted ORDER BY id LIMIT $7),
    days AS (
        SELECT w.id, (i.visit_time AT TIME ZONE w.zone)::date AS date,
               count(*) AS images, sum(i.perimeter) AS perimeter,
               round(avg(i.seconds)::numeric, 3) AS average_seconds, round(avg(i.score), 1) AS average_score
        FROM shown w JOIN visit_images i ON i.store_id = w.id AND i.state = 'done'
            AND i.visit_time >= w.begins AND i.visit_time < w.ends {whose}
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


@cache
def report(*, is_of_all: bool, has_area: bool, has_store: bool) -> str:
    """All parameters stay, so that they are passed alike."""
    area = "AND s.area = $2" if has_area else "AND $2::text IS NULL"
    store = "AND s.id = $3" if has_store else "AND $3::text IS NULL"
    whose = "AND $1::uuid IS NOT NULL" if is_of_all else "AND i.owner_id = $1"
    return _REPORT.replace("{where}", f"{area} {store}").replace("{whose}", whose)


STORE_IS_KNOWN = "SELECT FROM stores WHERE id = $1"
