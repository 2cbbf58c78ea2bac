"""Applies the properties of the primary item to the header: size, rotation, mirroring, crop and color."""

import struct
from collections.abc import Callable

from imagesvc.processing.headers.header import Header, Source, read_exactly
from imagesvc.processing.headers.isobmff_boxes import Span
from imagesvc.processing.headers.isobmff_items import Property

_CLEAN_APERTURE_BYTES = 32


def apply_properties(header: Header, source: Source, properties: list[Property]) -> None:
    """Apply the properties in their order, because each transform applies to the result of the one before it.

    Raises BrokenImage.
    """
    for kind, span in properties:
        if kind in _PROPERTIES:
            _PROPERTIES[kind](header, source, span)


def _size(header: Header, source: Source, span: Span) -> None:
    header.width, header.height = struct.unpack(">II", read_exactly(source, span[0] + 4, 8))


def _rotation(header: Header, source: Source, span: Span) -> None:
    _transform(header, _ORIENTATION_OF_QUARTER_TURNS[read_exactly(source, span[0], 1)[0] & 3])


def _mirroring(header: Header, source: Source, span: Span) -> None:
    is_left_to_right = read_exactly(source, span[0], 1)[0] & 1
    _transform(header, 2 if is_left_to_right else 4)


def _transform(header: Header, orientation: int) -> None:
    header.container_orientation = _combined(header.container_orientation or 1, orientation)


_ORIENTATION_OF_QUARTER_TURNS = (1, 8, 3, 6)
"""`irot` counts quarter turns counterclockwise."""

_MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, -1, 1, 0),
    7: (0, -1, -1, 0),
    8: (0, 1, -1, 0),
}
"""By EXIF orientation, row by row."""


def _combined(first: int, second: int) -> int:
    """The EXIF orientation that equals ``first`` followed by ``second``."""
    a, b, c, d = _MATRICES[second]
    e, f, g, h = _MATRICES[first]
    product = (a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    return next(number for number, matrix in _MATRICES.items() if matrix == product)


def _clean_aperture(header: Header, source: Source, span: Span) -> None:
    """Width, height and the distance of the center from the middle of the picture, each a fraction."""
    if span[1] - span[0] < _CLEAN_APERTURE_BYTES:
        return
    values = struct.unpack(">IIIIiIiI", read_exactly(source, span[0], _CLEAN_APERTURE_BYTES))
    numerators, denominators = values[::2], values[1::2]
    if not all(denominators):
        header.crop = None
        return
    width, height, right, down = (n / d for n, d in zip(numerators, denominators, strict=True))
    left = (header.width - width) / 2 + right
    top = (header.height - height) / 2 + down
    box = (round(left), round(top), round(left + width), round(top + height))
    is_inside = 0 <= box[0] < box[2] <= header.width and 0 <= box[1] < box[3] <= header.height
    header.crop = box if is_inside else None


def _color(header: Header, source: Source, span: Span) -> None:
    start, end = span
    kind = read_exactly(source, start, 4)
    if kind in (b"prof", b"rICC"):
        header.profile_bytes = end - start - 4
    elif kind == b"nclx" and end - start >= 8:
        header.set_code_points(*struct.unpack(">HH", read_exactly(source, start + 4, 4)))


_PROPERTIES: dict[bytes, Callable[[Header, Source, Span], None]] = {
    b"ispe": _size,
    b"irot": _rotation,
    b"imir": _mirroring,
    b"clap": _clean_aperture,
    b"colr": _color,
}
