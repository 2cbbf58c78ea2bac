"""Reads single EXIF and XMP values as clean Python values: text that can be stored, finite numbers, or None."""

import math
import unicodedata
from collections.abc import Iterable

from imagesvc.processing.facts import MAX_NOTES, MAX_TEXT
from imagesvc.processing.headers.tiff_directory import Directory, Fraction

_MAX_TEXT_BYTES = 4_096


class Notes:
    """The problems of the metadata, each as a short fixed word and once, up to MAX_NOTES of them."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = dict.fromkeys(words)

    def add(self, word: str) -> None:
        if len(self._words) < MAX_NOTES:
            self._words[word] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self._words)


def text(directories: Iterable[Directory | None], tag: int) -> str | None:
    """The first text under the tag that is not blank, up to its first NUL, without control characters.

    Decoded as UTF-8 if valid, else as Latin-1.
    """
    for directory in directories:
        if directory is None or not directory.is_text(tag):
            continue
        data = directory.data(tag, _MAX_TEXT_BYTES)
        value = storable(_decoded(data.split(b"\0", 1)[0])) if data else None
        if value and value.strip():
            return value
    return None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def storable(value: str) -> str | None:
    """The text without control characters and surrogates, at most MAX_TEXT characters. None when nothing is left."""
    kept = "".join(c for c in value[:_MAX_TEXT_BYTES] if unicodedata.category(c) not in ("Cc", "Cs"))
    return kept[:MAX_TEXT] or None


def numbers(directories: Iterable[Directory | None], tag: int, max_count: int = 8) -> list[float | None] | None:
    """The first values under the tag, fractions divided.

    A fraction with the denominator 0 is None, except 0/0, which is NaN: cameras write it for a part that they leave
    out.
    """
    for directory in directories:
        values = directory.numbers(tag, max_count) if directory is not None else None
        if values:
            return [_quotient(value) if isinstance(value, tuple) else _finite(value) for value in values]
    return None


def number(directories: Iterable[Directory | None], tag: int) -> float | None:
    """The first value under the tag, None when it is no number."""
    values = numbers(directories, tag, 1)
    value = values[0] if values else None
    return None if value is None or math.isnan(value) else value


def _quotient(value: Fraction) -> float | None:
    numerator, denominator = value
    if denominator == 0:
        return math.nan if numerator == 0 else None
    return numerator / denominator


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def fraction(value: str | None) -> float | None:
    """A number in the notation of XMP: ``28/10`` or ``2.8``."""
    if value is None:
        return None
    numerator, slash, denominator = value.strip().partition("/")
    try:
        result = float(numerator) / float(denominator) if slash else float(numerator)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return result if math.isfinite(result) else None
