"""Uncompressed bitmaps: palettes of 1 to 8 bits, and 16, 24 or 32 bits in whatever fields the header names."""

import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.headers import Source
from imagesvc.processing.headers.header import take
from imagesvc.processing.rasters.samples import eight_bits, unpacked

_PLAIN, _FIELDS, _FIELDS_WITH_ALPHA = 0, 3, 6
_USUAL_FIELDS = {16: (0x7C00, 0x03E0, 0x001F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


def bmp_raster(source: Source) -> Image.Image | None:
    pixels_at, header_bytes = struct.unpack("<II", take(source, 10, 8))
    if header_bytes == 12:
        width, height, _, bits = struct.unpack("<HHHH", take(source, 18, 8))
        compression = _PLAIN
    else:
        width, height, _, bits = struct.unpack("<iiHH", take(source, 18, 12))
        compression = struct.unpack("<I", take(source, 30, 4))[0] if header_bytes >= 20 else _PLAIN
    if compression not in (_PLAIN, _FIELDS, _FIELDS_WITH_ALPHA) or bits not in (1, 2, 4, 8, 16, 24, 32):
        return None
    rows, stride = abs(height), (width * bits + 31) // 32 * 4
    data = take(source, pixels_at, rows * stride)
    upward = slice(None, None, -1 if height > 0 else 1)
    if bits <= 8:
        pixels = _palette(source, header_bytes, bits, pixels_at)[
            unpacked(data, rows=rows, samples=stride * 8 // bits, bits=bits, order="<")[:, :width]
        ]
    elif bits == 24:
        pixels = unpacked(data, rows=rows, samples=stride, bits=8, order="<")[:, : width * 3]
        pixels = pixels.reshape(rows, width, 3)[..., ::-1]
    else:
        fields = _fields(source, header_bytes, compression, bits)
        pixels = _in_fields(
            unpacked(data, rows=rows, samples=stride * 8 // bits, bits=bits, order="<")[:, :width], fields
        )
    return Image.fromarray(np.ascontiguousarray(pixels[upward]))


def _palette(source: Source, header_bytes: int, bits: int, pixels_at: int) -> NDArray[np.uint8]:
    entry = 3 if header_bytes == 12 else 4
    start = 14 + header_bytes
    count = max(0, min(1 << bits, (pixels_at - start) // entry))
    table = np.zeros((1 << bits, 3), np.uint8)
    known = np.frombuffer(take(source, start, count * entry), np.uint8).reshape(count, entry)
    table[:count] = known[:, 2::-1]
    return table


def _fields(source: Source, header_bytes: int, compression: int, bits: int) -> tuple[int, ...]:
    """Red, green, blue, alpha. With the short header they follow it, the alpha one only by the later rule."""
    if compression == _PLAIN:
        return _USUAL_FIELDS[bits]
    with_alpha = header_bytes >= 56 or compression == _FIELDS_WITH_ALPHA
    masks = struct.unpack("<4I" if with_alpha else "<3I", take(source, 54, 16 if with_alpha else 12))
    return (*masks, 0)[:4]


def _in_fields(values: NDArray[np.uint32], fields: tuple[int, ...]) -> NDArray[np.uint8]:
    channels = []
    for mask in fields:
        if mask:
            shift = (mask & -mask).bit_length() - 1
            channels.append(eight_bits((values.astype(np.uint32) & mask) >> shift, mask >> shift))
        elif len(channels) < 3:
            channels.append(np.zeros(values.shape, np.uint8))
    return np.stack(channels, axis=-1)
