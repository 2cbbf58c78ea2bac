"""Decodes TIFF strips and tiles with samples of any depth, in one plane or several, in either byte order (TIFF 6.0)."""

import zlib

import numpy as np
from PIL import Image

from imagesvc.processing.headers import BrokenImage, Source
from imagesvc.processing.rasters.samples import Samples, unpacked
from imagesvc.processing.rasters.tiff_layout import (
    FLOAT,
    HORIZONTAL_DIFFERENCES,
    PACK_BITS,
    UNCOMPRESSED,
    TiffLayout,
    read_layout,
)
from imagesvc.processing.rasters.tiff_pixels import pixels_of


def tiff_raster(source: Source) -> Image.Image | None:
    """The first page. None for a layout that this package does not decode. Raises BrokenImage."""
    layout = read_layout(source)
    if layout is None:
        return None
    planes = [_plane(source, layout, number) for number in range(layout.planes)]
    return pixels_of(layout, planes[0] if layout.planes == 1 else np.concatenate(planes, axis=2))


def _plane(source: Source, layout: TiffLayout, number: int) -> Samples:
    """Height x width x samples of one plane."""
    first = number * layout.parts_across * layout.parts_down
    plane = np.zeros((layout.height, layout.width, layout.samples_in_plane), _dtype(layout))
    for index in range(layout.parts_across * layout.parts_down):
        row, column = divmod(index, layout.parts_across)
        top, left = row * layout.part_height, column * layout.part_width
        inside = _part(source, layout, first + index, _stored_rows(layout, top))[
            : layout.height - top, : layout.width - left
        ]
        plane[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return plane


def _dtype(layout: TiffLayout) -> str:
    """The smallest NumPy type for a sample. Floats of 24 bits have none and stay integers until they are scaled."""
    if _is_numpy_float(layout):
        return f"f{layout.bits // 8}"
    return "u1" if layout.bits <= 8 else "u2" if layout.bits <= 16 else "u4"


def _is_numpy_float(layout: TiffLayout) -> bool:
    return layout.sample_format == FLOAT and layout.bits != 24


def _stored_rows(layout: TiffLayout, top: int) -> int:
    """The rows that a part has to have. One as wide as the picture may lack those below the picture, as strips do."""
    if layout.part_width != layout.width:
        return layout.part_height
    return min(layout.part_height, layout.height - top)


def _part(source: Source, layout: TiffLayout, index: int, rows: int) -> Samples:
    """Rows x columns x samples of one strip or tile."""
    if index >= len(layout.offsets):
        raise BrokenImage("there are fewer strips than the picture has")
    row_samples = layout.part_width * layout.samples_in_plane
    wanted = rows * ((row_samples * layout.bits + 7) // 8)
    at = layout.offsets[index]
    stored = layout.byte_counts[index] if index < len(layout.byte_counts) else wanted
    data = _decompressed(source[at : at + stored], layout.compression, wanted)
    if len(data) < wanted:
        raise BrokenImage("a strip is cut off")
    samples = _samples(layout, data[:wanted], rows, row_samples).reshape(rows, layout.part_width, -1)
    if layout.predictor == HORIZONTAL_DIFFERENCES:
        samples = np.cumsum(samples, axis=1, dtype=samples.dtype)
    return samples


def _samples(layout: TiffLayout, data: bytes, rows: int, row_samples: int) -> Samples:
    if _is_numpy_float(layout):
        return np.frombuffer(data, f"{layout.byte_order}f{layout.bits // 8}")
    return unpacked(data, rows=rows, samples=row_samples, bits=layout.bits, order=layout.byte_order)


def _decompressed(data: bytes, compression: int, max_bytes: int) -> bytes:
    """At most ``max_bytes``, except for data that is stored as it is."""
    if compression == UNCOMPRESSED:
        return data
    if compression == PACK_BITS:
        return _unpacked_bits(data, max_bytes)
    try:
        return zlib.decompressobj().decompress(data, max_bytes)
    except zlib.error as error:
        raise BrokenImage("a strip cannot be inflated") from error


def _unpacked_bits(data: bytes, max_bytes: int) -> bytes:
    """Decode PackBits (TIFF 6.0, section 9). The last run may exceed ``max_bytes``."""
    out, at = bytearray(), 0
    while at < len(data) and len(out) < max_bytes:
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += head + 2
        else:
            out += data[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2
    return bytes(out)
