"""Compares candidates on a busy machine: they take turns within each round, and ratios are computed per round."""

import statistics
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (minimum to maximum)`."""
    median, lowest, highest = statistics.median(values), min(values), max(values)
    return f"{median:,.{digits}f} ({lowest:,.{digits}f} to {highest:,.{digits}f})"


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """One ratio per round, because other load on the machine affects both values of a round."""
    return [value / other for value, other in zip(values, reference, strict=True)]


def rotated(candidates: Sequence[T], number: int) -> list[T]:
    """The order of round ``number``; each candidate is first in turn."""
    return [candidates[(number + index) % len(candidates)] for index in range(len(candidates))]
