"""A circle on the Earth as ranges of place codes, by which an index finds what may lie in it.

A place is a point of the unit sphere, its three coordinates cut to 20 bits and interleaved (``place_code`` in the
database): cells of cells, eight in each. Cells know no date line and no poles. The ranges hold the whole circle and a
little more; what is found has to be measured.
"""

import dataclasses
from collections.abc import Iterator
from math import asin, cos, radians, sin

EARTH_KM = 6371.0088
LEVELS = 20
MAX_RANGES = 24
_SLACK = 1e-9
"""Sines of the database and of Python may differ in their last digit."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """Everything within ``km`` of a place, over the ground."""

    latitude: float
    longitude: float
    km: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    level: int
    code: int
    corner: tuple[float, float, float]

    @property
    def side(self) -> float:
        return float(2.0 ** (1 - self.level))

    def children(self) -> Iterator["_Cell"]:
        half = self.side / 2
        x, y, z = self.corner
        for number in range(8):
            corner = (x + half * (number >> 2), y + half * (number >> 1 & 1), z + half * (number & 1))
            yield _Cell(self.level + 1, self.code << 3 | number, corner)

    def codes(self) -> tuple[int, int]:
        shift = 3 * (LEVELS - self.level)
        return self.code << shift, (self.code + 1 << shift) - 1


def ranges_of(circle: Circle, *, most: int = MAX_RANGES) -> list[tuple[int, int]]:
    """Inclusive ranges of place codes, in order and apart from each other; at most ``most``."""
    latitude, longitude = radians(circle.latitude), radians(circle.longitude)
    centre = (cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude))
    reach = _straight(circle.km) + _SLACK
    cells = [_Cell(0, 0, (-1.0, -1.0, -1.0))]
    best = _joined(cells)
    for _ in range(LEVELS):
        cells = [child for cell in cells for child in cell.children() if _meets(child, centre, reach)]
        finer = _joined(cells)
        if len(finer) > most:
            break
        best = finer
        if cells[0].side < reach / 4:
            break
    return best


def _straight(km: float) -> float:
    """The straight way through the unit sphere, of a way over the ground of the Earth."""
    half_angle = min(km / EARTH_KM / 2, asin(1))
    return 2 * sin(half_angle)


def _meets(cell: _Cell, centre: tuple[float, float, float], reach: float) -> bool:
    """Whether the cell may hold points of the sphere that are within reach of the centre."""
    to_centre = nearest = farthest = 0.0
    for low, middle in zip(cell.corner, centre, strict=True):
        high = low + cell.side
        to_centre += max(low - middle, 0.0, middle - high) ** 2
        nearest += max(low, 0.0, -high) ** 2
        farthest += max(low * low, high * high)
    return to_centre <= reach * reach and nearest <= 1 + _SLACK and farthest >= 1 - _SLACK


def _joined(cells: list[_Cell]) -> list[tuple[int, int]]:
    """Their codes, neighbours as one range; the cells come in the order of their codes."""
    ranges: list[tuple[int, int]] = []
    for low, high in (cell.codes() for cell in cells):
        if ranges and ranges[-1][1] + 1 == low:
            ranges[-1] = (ranges[-1][0], high)
        else:
            ranges.append((low, high))
    return ranges
