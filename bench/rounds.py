"""Comparing on a busy machine: all contestants in turns, round by round, and ratios within a round."""

import statistics
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """The median, and the least and the most beside it."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f})"


def ratios(values: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round: what disturbs a round disturbs both."""
    return [value / other for value, other in zip(values, to, strict=True)]


def turns(contestants: Sequence[T], number: int) -> list[T]:
    """Round ``number``'s order: each goes first in its turn."""
    return [contestants[(number + place) % len(contestants)] for place in range(len(contestants))]
