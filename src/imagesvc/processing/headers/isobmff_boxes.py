"""Walks the boxes of an ISO base media file (ISO/IEC 14496-12), and reads the integers in them."""

import struct
from collections.abc import Iterator

from imagesvc.processing.headers.header import BrokenImage, Source, read_exactly

MAX_BOXES = 20_000
"""Boxes in one box, and entries in one table."""

Span = tuple[int, int]
"""Start and end in the source."""


def boxes(source: Source, span: Span) -> Iterator[tuple[bytes, Span]]:
    """The boxes in a span as (type, content). The content ends at the span's end at the latest.

    Stops at a box without a valid size. Raises BrokenImage when there are too many.
    """
    at, end = span
    for _ in range(MAX_BOXES):
        head = source[at : min(at + 16, end)]
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        head_bytes = 8
        if size == 1 and len(head) == 16:
            size, head_bytes = struct.unpack_from(">Q", head, 8)[0], 16
        elif size == 0:  # up to the end of the span
            size = end - at
        if size < head_bytes:
            return
        yield kind, (at + head_bytes, min(at + size, end))
        at += size
    raise BrokenImage("there are too many boxes")


class Integers:
    """Reads big-endian unsigned integers one after another. Raises BrokenImage at the end of the span."""

    def __init__(self, source: Source, span: Span) -> None:
        self._source = source
        self._at, self._end = span

    def next(self, size: int) -> int:
        """The next integer of that many bytes; 0 when it has none, which stands for an absent field."""
        if self._at + size > self._end:
            raise BrokenImage("a box ends too early")
        value = int.from_bytes(read_exactly(self._source, self._at, size), "big")
        self._at += size
        return value
