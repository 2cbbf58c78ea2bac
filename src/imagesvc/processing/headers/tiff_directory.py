"""Reads the tag directories of TIFF 6.0 and BigTIFF, which EXIF blocks also have, and only the values asked for.

A directory with 65 535 entries that all name the same megabytes therefore costs nothing. The caller follows pointers,
so loops cannot occur here. Nothing raises on bad content: a value that cannot be read is None.
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
"""``struct`` formats of the numeric field types."""
_UNDEFINED = 7
_TEXT_TYPES = {2, _UNDEFINED, 129}
"""ASCII, UNDEFINED, and the UTF-8 of EXIF 3.0."""
_RATIONAL_TYPES = {5, 10}
_MAX_ENTRIES = 65_535

Fraction = tuple[int, int]
"""Numerator and denominator, unreduced."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag's field type, number of values, and the offset of the first one."""

    kind: int
    count: int
    offset: int

    @property
    def bytes(self) -> int:
        unit = 1 if self.kind in _TEXT_TYPES else struct.calcsize("=" + _FORMATS.get(self.kind, "B"))
        return unit * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of one directory by tag. Of a repeated tag, the first entry counts."""

    source: Source
    byte_order: str
    entries: dict[int, Entry]
    entries_read: int
    """Including repeated tags."""
    next_offset: int
    """Of the next directory, 0 after the last one."""

    def data(self, tag: int, max_bytes: int) -> bytes | None:
        """The value's first bytes, of any field type."""
        entry = self.entries.get(tag)
        if entry is None:
            return None
        size = min(entry.bytes, max_bytes)
        return self.source[entry.offset : entry.offset + size] if 0 < entry.offset < len(self.source) else None

    def numbers(self, tag: int, max_count: int = 8) -> list[int | float | Fraction] | None:
        """The value's first numbers. None when it has none or when they are cut off."""
        entry = self.entries.get(tag)
        if entry is None or (entry.kind not in _FORMATS and entry.kind != _UNDEFINED):
            return None
        unit = _FORMATS.get(entry.kind, "B")
        count = min(entry.count, max_count)
        size = struct.calcsize("=" + unit) * count
        data = self.source[entry.offset : entry.offset + size]
        if not count or len(data) != size:
            return None
        values = struct.unpack(self.byte_order + unit * count, data)
        return list(zip(values[::2], values[1::2], strict=True)) if entry.kind in _RATIONAL_TYPES else list(values)

    def integer(self, tag: int) -> int | None:
        """The value's first number when it is an integer."""
        values = self.numbers(tag, 1)
        return values[0] if values and isinstance(values[0], int) else None

    def is_text(self, tag: int) -> bool:
        """Whether the value's field type can hold text."""
        return tag in self.entries and self.entries[tag].kind in _TEXT_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """``struct`` formats of a directory's parts. The value of an entry is in place when it fits."""

    count: str
    entry: str
    offset: str


_CLASSIC = _Layout(count="H", entry="HHI4s", offset="I")
_BIG_TIFF = _Layout(count="Q", entry="HHQ8s", offset="Q")


class Structure:
    """A TIFF structure that starts with the source. ``first`` is the offset of the first directory.

    ``first`` is None when the source is not a TIFF structure.
    """

    def __init__(self, source: Source) -> None:
        mark = source[:16]
        is_big = len(mark) >= 16 and mark[2:4] in (b"+\0", b"\0+")
        self._source = source
        self._byte_order = {b"II": "<", b"MM": ">"}.get(mark[:2], "")
        self._layout = _BIG_TIFF if is_big else _CLASSIC
        self.first: int | None = None
        if self._byte_order and len(mark) >= 8:
            self.first = self._offset_in(mark, 8 if is_big else 4)

    def _offset_in(self, data: bytes, at: int = 0) -> int:
        (offset,) = struct.unpack_from(self._byte_order + self._layout.offset, data, at)
        return int(offset)

    def directory(self, offset: int | None) -> Directory | None:
        """The directory at the offset, None when there is none. A directory that is cut off keeps its whole entries."""
        if not offset or offset < 8 or offset >= len(self._source):
            return None
        layout, order = self._layout, self._byte_order
        count_bytes, entry_bytes = struct.calcsize("=" + layout.count), struct.calcsize("=" + layout.entry)
        inline_bytes = struct.calcsize("=" + layout.offset)
        start = offset + count_bytes
        count_data = self._source[offset:start]
        if len(count_data) != count_bytes:
            return None
        (count,) = struct.unpack(order + layout.count, count_data)
        whole = min(count, _MAX_ENTRIES, (len(self._source) - start) // entry_bytes)
        entries: dict[int, Entry] = {}
        table = self._source[start : start + whole * entry_bytes]
        for n, (tag, kind, items, value) in enumerate(struct.iter_unpack(order + layout.entry, table)):
            entry = Entry(kind, items, start + (n + 1) * entry_bytes - inline_bytes)
            if entry.bytes > inline_bytes:
                entry = Entry(kind, items, self._offset_in(value))
            entries.setdefault(tag, entry)
        end = start + count * entry_bytes
        following = self._source[end : end + inline_bytes]
        next_offset = self._offset_in(following) if len(following) == inline_bytes else 0
        return Directory(self._source, order, entries, whole, next_offset)
