"""Decodes uncompressed bitmaps: palettes of 1 to 8 bits, and 16, 24 or 32 bits in any bit fields."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.headers import Source
from imagesvc.processing.headers.header import read_exactly
from imagesvc.processing.rasters.samples import Integers, eight_bits, unpacked

_CORE_HEADER_BYTES, _V3_HEADER_BYTES = 12, 56
_HEADER_AT = 14
_UNCOMPRESSED, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 3, 6
_DEPTHS = (1, 2, 4, 8, 16, 24, 32)
_DEFAULT_FIELDS = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    width: int
    height: int
    is_bottom_up: bool
    bits: int
    compression: int
    header_bytes: int
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        """Rows are padded to a multiple of four bytes."""
        return (self.width * self.bits + 31) // 32 * 4


def bmp_raster(source: Source) -> Image.Image | None:
    """The picture as RGB or RGBA. None for a compressed bitmap. Raises BrokenImage."""
    layout = _layout(source)
    if layout.compression not in (_UNCOMPRESSED, _BIT_FIELDS, _ALPHA_BIT_FIELDS) or layout.bits not in _DEPTHS:
        return None
    if layout.bits <= 8:
        pixels = _palette(source, layout)[_values(source, layout)]
    elif layout.bits == 24:
        pixels = _blue_green_red(source, layout)[..., ::-1]
    else:
        pixels = _by_fields(_values(source, layout), _fields(source, layout))
    return Image.fromarray(np.ascontiguousarray(pixels[::-1] if layout.is_bottom_up else pixels))


def _layout(source: Source) -> _Layout:
    pixels_at, header_bytes = struct.unpack("<II", read_exactly(source, 10, 8))
    compression = _UNCOMPRESSED
    if header_bytes == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack("<HHHH", read_exactly(source, 18, 8))
    else:
        width, height, _, bits = struct.unpack("<iiHH", read_exactly(source, 18, 12))
        if header_bytes >= 20:
            (compression,) = struct.unpack("<I", read_exactly(source, 30, 4))
    return _Layout(
        width=width,
        height=abs(height),
        is_bottom_up=height > 0,
        bits=bits,
        compression=compression,
        header_bytes=header_bytes,
        pixels_at=pixels_at,
    )


def _rows(source: Source, layout: _Layout) -> bytes:
    return read_exactly(source, layout.pixels_at, layout.height * layout.row_bytes)


def _values(source: Source, layout: _Layout) -> Integers:
    """One integer a pixel, in stored row order."""
    samples = layout.row_bytes * 8 // layout.bits
    data = _rows(source, layout)
    return unpacked(data, rows=layout.height, samples=samples, bits=layout.bits, order="<")[:, : layout.width]


def _blue_green_red(source: Source, layout: _Layout) -> NDArray[np.uint8]:
    rows = np.frombuffer(_rows(source, layout), np.uint8).reshape(layout.height, layout.row_bytes)
    return rows[:, : layout.width * 3].reshape(layout.height, layout.width, 3)


def _palette(source: Source, layout: _Layout) -> NDArray[np.uint8]:
    """Red, green and blue of each index. Colors that the file leaves out are black."""
    entry_bytes = 3 if layout.header_bytes == _CORE_HEADER_BYTES else 4
    start = _HEADER_AT + layout.header_bytes
    count = max(0, min(1 << layout.bits, (layout.pixels_at - start) // entry_bytes))
    palette = np.zeros((1 << layout.bits, 3), np.uint8)
    stored = np.frombuffer(read_exactly(source, start, count * entry_bytes), np.uint8).reshape(count, entry_bytes)
    palette[:count] = stored[:, 2::-1]
    return palette


def _fields(source: Source, layout: _Layout) -> tuple[int, ...]:
    """The masks of red, green, blue and alpha, which follow the first 40 bytes of the header.

    A header that ends there has an alpha mask only with the compression that says so.
    """
    if layout.compression == _UNCOMPRESSED:
        return _DEFAULT_FIELDS[layout.bits]
    has_alpha = layout.header_bytes >= _V3_HEADER_BYTES or layout.compression == _ALPHA_BIT_FIELDS
    masks = struct.unpack("<4I" if has_alpha else "<3I", read_exactly(source, 54, 16 if has_alpha else 12))
    return (*masks, 0)[:4]


def _by_fields(values: Integers, fields: tuple[int, ...]) -> NDArray[np.uint8]:
    """RGB, or RGBA when alpha has a field. A color without a field is 0."""
    channels = []
    for mask in fields:
        if mask:
            shift = (mask & -mask).bit_length() - 1
            channels.append(eight_bits((values.astype(np.uint32) & mask) >> shift, mask >> shift))
        elif len(channels) < 3:
            channels.append(np.zeros(values.shape, np.uint8))
    return np.stack(channels, axis=-1)
