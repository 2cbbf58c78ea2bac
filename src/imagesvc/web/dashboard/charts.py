"""Shapes of bar charts, which templates draw as SVG with a text for each bar."""

import dataclasses
from collections.abc import Sequence

HEIGHT = 120
WIDTH = 600
GAP = 0.2
"""Share of a column's place that stays empty."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar in the units of the drawing, with its label and its value."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: float


def columns(values: Sequence[tuple[str, float]]) -> list[Bar]:
    """Upright bars of ``WIDTH`` x ``HEIGHT``, as high as their share of the largest value."""
    largest = max((value for _, value in values), default=0) or 1
    place = WIDTH / max(1, len(values))
    bars = []
    for index, (label, value) in enumerate(values):
        height = round(HEIGHT * value / largest, 2)
        x, width = round((index + GAP / 2) * place, 2), round(place * (1 - GAP), 2)
        bars.append(Bar(x=x, y=round(HEIGHT - height, 2), width=width, height=height, label=label, value=value))
    return bars


def rows(values: Sequence[tuple[str, float]]) -> list[Bar]:
    """Lying bars: ``width`` is the share of the largest value in percent."""
    largest = max((value for _, value in values), default=0) or 1
    return [
        Bar(x=0, y=0, width=round(100 * value / largest, 1), height=1, label=label, value=value)
        for label, value in values
    ]
