"""Converts a circle on the Earth to ranges of place codes, which an index can look up.

A place code is a point on the unit sphere: its three coordinates are cut to 20 bits and interleaved (``place_code`` in
the database). The codes form an octree: each cell has eight children, and the codes of a cell are one range. There is
no special case for the date line and the poles. The ranges cover the whole circle and a little more, so the distance
of each result must still be checked.
"""

import dataclasses
from collections.abc import Iterator
from math import asin, cos, radians, sin

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""
LEVELS = 20
MAX_RANGES = 24
_TOLERANCE = 1e-9
"""The sines of the database and of Python may differ in their last digit."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """All points within ``km`` of a place, measured on the surface. Coordinates are in degrees."""

    latitude: float
    longitude: float
    km: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    """A cube of the octree. ``corner`` has its smallest coordinates."""

    level: int
    code: int
    corner: tuple[float, float, float]

    @property
    def side(self) -> float:
        return float(2.0 ** (1 - self.level))

    def children(self) -> Iterator["_Cell"]:
        """The eight children, in the order of their codes."""
        half = self.side / 2
        x, y, z = self.corner
        for number in range(8):
            corner = (x + half * (number >> 2), y + half * (number >> 1 & 1), z + half * (number & 1))
            yield _Cell(self.level + 1, self.code << 3 | number, corner)

    def codes(self) -> tuple[int, int]:
        """The first and the last place code in the cell."""
        shift = 3 * (LEVELS - self.level)
        return self.code << shift, (self.code + 1 << shift) - 1


def code_ranges(circle: Circle, *, max_ranges: int = MAX_RANGES) -> list[tuple[int, int]]:
    """Inclusive ranges of place codes that cover the circle, sorted and disjoint."""
    latitude, longitude = radians(circle.latitude), radians(circle.longitude)
    center = (cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude))
    radius = _chord(circle.km) + _TOLERANCE
    cells = [_Cell(0, 0, (-1.0, -1.0, -1.0))]
    best = _merged_ranges(cells)
    for _ in range(LEVELS):
        cells = [child for cell in cells for child in cell.children() if _intersects(child, center, radius)]
        finer = _merged_ranges(cells)
        if len(finer) > max_ranges:
            break
        best = finer
        if cells[0].side < radius / 4:
            break
    return best


def _chord(km: float) -> float:
    """The length of the chord of the unit sphere that belongs to a distance on the surface of the Earth."""
    half_angle = min(km / EARTH_RADIUS_KM / 2, asin(1))
    return 2 * sin(half_angle)


def _intersects(cell: _Cell, center: tuple[float, float, float], radius: float) -> bool:
    """Whether the cell may contain points of the sphere within ``radius`` of the center.

    Compares squared distances: from the center to the cell, and from the origin to the nearest and farthest point of
    the cell.
    """
    to_center = nearest = farthest = 0.0
    for low, middle in zip(cell.corner, center, strict=True):
        high = low + cell.side
        to_center += max(low - middle, 0.0, middle - high) ** 2
        nearest += max(low, 0.0, -high) ** 2
        farthest += max(low * low, high * high)
    return to_center <= radius * radius and nearest <= 1 + _TOLERANCE and farthest >= 1 - _TOLERANCE


def _merged_ranges(cells: list[_Cell]) -> list[tuple[int, int]]:
    """The code ranges of the cells, adjacent ones merged. The cells are sorted by code."""
    ranges: list[tuple[int, int]] = []
    for low, high in (cell.codes() for cell in cells):
        if ranges and ranges[-1][1] + 1 == low:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges
