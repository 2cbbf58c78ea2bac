"""Ranges of place codes contain every place in a circle, and few places outside it."""

import asyncpg
import pytest

from imagesvc.images.search.geo_index import MAX_RANGES, Circle, code_ranges
from imagesvc.settings import Settings

CIRCLES = [
    Circle(latitude=latitude, longitude=longitude, km=km)
    for latitude, longitude in (
        (48.85837, 2.29448),
        (0.0, 180.0),
        (0.0, -180.0),
        (90.0, 0.0),
        (-89.99, 77.0),
        (0.0, 0.0),
    )
    for km in (0.01, 1.0, 30.0, 2000.0, 15_000.0, 20_016.0, 1e9)
]
AROUND = """
    -- $1 latitude, $2 longitude, $3 angle: points in all directions, some at the edge of the circle
    SELECT place_code(latitude, longitude) AS code
    FROM generate_series(0, 350, 10) AS direction
    CROSS JOIN (VALUES (0.3), (0.9), (0.9999999)) AS part (of_way)
    CROSS JOIN LATERAL (SELECT asind(greatest(-1, least(1,
        sind($1) * cosd($3 * of_way) + cosd($1) * sind($3 * of_way) * cosd(direction)))) AS latitude) AS there
    CROSS JOIN LATERAL (SELECT $2 + atan2d(sind(direction) * sind($3 * of_way) * cosd($1),
        cosd($3 * of_way) - sind($1) * sind(latitude)) AS longitude) AS across
"""


def is_in(code: int, ranges: list[tuple[int, int]]) -> bool:
    return any(low <= code <= high for low, high in ranges)


async def test_every_place_within_a_circle_is_in_its_ranges(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    missed = [
        circle
        for circle in CIRCLES
        for ranges in [code_ranges(circle)]
        for row in await connection.fetch(
            AROUND, circle.latitude, circle.longitude, min(circle.km / 6371.0088 * 57.29577951308232, 180.0)
        )
        if not is_in(row["code"], ranges)
    ]
    distance = await connection.fetchval("SELECT kilometres_between(52.5200, 13.4050, 48.8566, 2.3522)")
    opposite = await connection.fetchval("SELECT kilometres_between(0, 0, 0, 180)")
    await connection.close()

    assert missed == []
    assert (distance, opposite) == (pytest.approx(877.46, abs=0.1), pytest.approx(20_015.1, abs=0.1))


def test_ranges_are_limited_in_number_sorted_and_disjoint() -> None:
    for ranges in map(code_ranges, CIRCLES):
        edges = [edge for pair in ranges for edge in pair]
        assert len(ranges) <= MAX_RANGES
        assert edges == sorted(edges)


async def test_few_places_outside_a_small_circle_are_in_its_ranges(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    codes = await connection.fetch(
        "SELECT place_code(48 + n / 1000 / 500.0, 2 + n % 1000 / 500.0) AS code"
        " FROM generate_series(0, 999999, 37) AS n"
    )
    await connection.close()
    ranges = code_ranges(Circle(latitude=48.85837, longitude=2.29448, km=5))

    inside = sum(is_in(row["code"], ranges) for row in codes)

    # the circle of 5 km is one two-hundredth of the area of the points
    assert inside / len(codes) < 0.02
