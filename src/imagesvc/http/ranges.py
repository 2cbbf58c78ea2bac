"""``Range: bytes=…`` (RFC 9110, section 14).

One range is honoured. A request for several gets the whole, which the RFC allows: no client of ours reads
``multipart/byteranges``, and many small ranges are a known way to make a server work. What is malformed or counts in
another unit is ignored, as the RFC says.
"""

import re

from imagesvc.errors import ImagesvcError

# More digits than any size has; Python refuses to read numbers of thousands of digits.
_BYTES = re.compile(r"[ \t]*bytes[ \t]*=[ \t]*(\d{0,30})-(\d{0,30})[ \t]*", re.IGNORECASE | re.ASCII)


class RangeNotSatisfiable(ImagesvcError):
    """No byte lies in the range; ``Content-Range`` tells the size."""

    status, slug, title = 416, "range-not-satisfiable", "There are no bytes in this range"


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The half-open range ``(start, stop)`` of a representation of `size` bytes; None for the whole.

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
        raise RangeNotSatisfiable(f"It has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return start, stop
