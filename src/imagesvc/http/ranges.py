"""``Range: bytes=…`` (RFC 9110, section 14).

A single range is supported. A request for several ranges gets the whole file, which the RFC allows: clients rarely
support ``multipart/byteranges``, and many small ranges are a known denial-of-service vector. A malformed header or
another unit is ignored, as the RFC requires.
"""

import re

from imagesvc.errors import ImagesvcError

# Bounded, because Python refuses to convert numbers with thousands of digits.
_BYTES = re.compile(r"[ \t]*bytes[ \t]*=[ \t]*(\d{0,30})-(\d{0,30})[ \t]*", re.IGNORECASE | re.ASCII)


class RangeNotSatisfiable(ImagesvcError):
    """The range contains no byte of the file. ``Content-Range`` has the size."""

    status, slug, title = 416, "range-not-satisfiable", "There are no bytes in this range"


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range ``(start, stop)`` of a file of ``size`` bytes; None for the whole file.

    Raises RangeNotSatisfiable.
    """
    match = _BYTES.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise RangeNotSatisfiable(f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return start, stop
