"""The tag directories of TIFF 6.0 and BigTIFF, which EXIF blocks have too, read lazily.

Only what is asked for is read: a directory of 65 535 entries that all name the same megabytes costs nothing. No
pointer is followed by itself, so loops cannot happen here. Nothing raises on bad content: what cannot be read is None.
"""

import struct
from dataclasses import dataclass

from imagesvc.processing.headers.header import Source

_FORMATS = {
    1: "B",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
_TEXT_TYPES = {2, 7, 129}
"""ASCII, UNDEFINED, and the UTF-8 of EXIF 3.0"""
_RATIONAL_TYPES = {5, 10}

Fraction = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    kind: int
    count: int
    at: int
    """where the value is, in the source"""

    @property
    def bytes(self) -> int:
        unit = 1 if self.kind in _TEXT_TYPES else struct.calcsize("=" + _FORMATS.get(self.kind, "B"))
        return unit * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    source: Source
    order: str
    entries: dict[int, Entry]
    read: int
    """entries that were read; tags may repeat"""
    following: int
    """offset of the next directory, 0 when this is the last"""

    def data(self, tag: int, at_most: int) -> bytes | None:
        """The value's first bytes, whatever its type."""
        entry = self.entries.get(tag)
        if entry is None:
            return None
        size = min(entry.bytes, at_most)
        return self.source[entry.at : entry.at + size] if 0 < entry.at < len(self.source) else None

    def numbers(self, tag: int, at_most: int = 8) -> list[int | float | Fraction] | None:
        """The value's first numbers; rationals as (numerator, denominator), unreduced. None when it has none."""
        entry = self.entries.get(tag)
        if entry is None or (entry.kind not in _FORMATS and entry.kind != 7):
            return None
        unit = _FORMATS.get(entry.kind, "B")
        count = min(entry.count, at_most)
        size = struct.calcsize("=" + unit) * count
        data = self.source[entry.at : entry.at + size]
        if not count or len(data) != size:
            return None
        values = struct.unpack(self.order + unit * count, data)
        return list(zip(values[::2], values[1::2], strict=True)) if entry.kind in _RATIONAL_TYPES else list(values)

    def integer(self, tag: int) -> int | None:
        values = self.numbers(tag, 1)
        return values[0] if values and isinstance(values[0], int) else None

    def is_text(self, tag: int) -> bool:
        return tag in self.entries and self.entries[tag].kind in _TEXT_TYPES


class Structure:
    """A TIFF structure at the beginning of the source. ``first`` is None when it is none."""

    def __init__(self, source: Source) -> None:
        mark = source[:16]
        self.source = source
        self.order = {b"II": "<", b"MM": ">"}.get(mark[:2], "")
        self.big = len(mark) >= 16 and mark[2:4] in (b"+\0", b"\0+")
        self.first: int | None = None
        if self.order and len(mark) >= 8:
            self.first = struct.unpack_from(self.order + ("Q" if self.big else "I"), mark, 8 if self.big else 4)[0]

    def directory(self, offset: int | None) -> Directory | None:
        """The directory there; when it is cut off, the entries that are left."""
        if not offset or offset < 8 or offset >= len(self.source):
            return None
        head, unit, link = ("Q", "HHQ8s", "Q") if self.big else ("H", "HHI4s", "I")
        head_bytes, unit_bytes = struct.calcsize("=" + head), struct.calcsize("=" + unit)
        count_data = self.source[offset : offset + head_bytes]
        if len(count_data) != head_bytes:
            return None
        (count,) = struct.unpack(self.order + head, count_data)
        start = offset + head_bytes
        whole = min(count, 65_535, (len(self.source) - start) // unit_bytes)
        inline = 8 if self.big else 4
        entries: dict[int, Entry] = {}
        table = self.source[start : start + whole * unit_bytes]
        for n, (tag, kind, items, value) in enumerate(struct.iter_unpack(self.order + unit, table)):
            entry = Entry(kind, items, start + n * unit_bytes + unit_bytes - inline)
            if entry.bytes > inline:
                entry = Entry(kind, items, struct.unpack(self.order + link, value)[0])
            entries.setdefault(tag, entry)
        following = self.source[start + count * unit_bytes : start + count * unit_bytes + inline]
        at_next = struct.unpack(self.order + link, following)[0] if len(following) == inline else 0
        return Directory(self.source, self.order, entries, whole, at_next)
