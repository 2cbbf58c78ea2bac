"""TIFF strips and tiles with samples of any depth, in one plane or several, in either byte order (TIFF 6.0)."""

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.headers import Broken, Source
from imagesvc.processing.headers.tiff_directory import Directory, Structure
from imagesvc.processing.rasters.samples import eight_bits, eight_bits_of_floats, unpacked

_PLAIN, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 8, 32_946, 32_773
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_SAMPLES_OF = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_MAX_PARTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    width: int
    height: int
    samples: int
    bits: int
    kind: int
    photometric: int
    compression: int
    predictor: int
    planes: int
    part_width: int
    part_height: int
    offsets: list[int]
    counts: list[int]
    order: str


def tiff_raster(source: Source) -> Image.Image | None:
    structure = Structure(source)
    page = structure.directory(structure.first)
    layout = _layout(page) if page is not None else None
    if page is None or layout is None:
        return None
    planes = [_plane(source, layout, number) for number in range(layout.planes)]
    values = planes[0] if layout.planes == 1 else np.concatenate(planes, axis=2)
    return _picture(page, layout, values)


def has_deep_planes(source: Source) -> bool:
    structure = Structure(source)
    page = structure.directory(structure.first)
    layout = _layout(page) if page is not None else None
    return layout is not None and layout.planes > 1 and layout.bits > 8


def _layout(page: Directory) -> _Layout | None:
    def one(tag: int, default: int) -> int:
        value = page.integer(tag)
        return default if value is None else value

    def many(tag: int) -> list[int]:
        return [int(value) for value in page.numbers(tag, _MAX_PARTS) or [] if isinstance(value, int)]

    depths, kinds = set(many(0x102)) or {1}, set(many(0x153)) or {_UNSIGNED}
    width, height, samples = one(0x100, 0), one(0x101, 0), one(0x115, 1)
    planar = one(0x11C, 1) == 2 and samples > 1
    tiled = 0x144 in page.entries
    layout = _Layout(
        width=width,
        height=height,
        samples=samples,
        bits=min(depths),
        kind=min(kinds),
        photometric=one(0x106, _BLACK_IS_ZERO),
        compression=one(0x103, _PLAIN),
        predictor=one(0x13D, 1),
        planes=samples if planar else 1,
        part_width=one(0x142, width) if tiled else width,
        part_height=one(0x143, height) if tiled else min(one(0x116, height), height),
        offsets=many(0x144 if tiled else 0x111),
        counts=many(0x145 if tiled else 0x117),
        order=page.byte_order,
    )
    known = (
        len(depths) == len(kinds) == 1
        and layout.samples >= _SAMPLES_OF.get(layout.photometric, 1 << 30)
        and 1 <= layout.bits <= 64
        and layout.kind in (_UNSIGNED, _SIGNED, _FLOAT)
        and (layout.kind != _FLOAT or layout.bits in (16, 24, 32, 64))
        and (layout.bits <= 32 or layout.kind == _FLOAT)
        and layout.compression in (_PLAIN, _DEFLATE, _OLD_DEFLATE, _PACKBITS)
        and (layout.predictor == 1 or (layout.predictor == 2 and layout.bits in (8, 16, 32)))
        and one(0x10A, 1) == 1
        and layout.part_width > 0
        and layout.part_height > 0
    )
    return layout if known else None


def _plane(source: Source, layout: _Layout, number: int) -> NDArray[Any]:
    """Height x width x samples of this plane."""
    samples = 1 if layout.planes > 1 else layout.samples
    across = math.ceil(layout.width / layout.part_width)
    down = math.ceil(layout.height / layout.part_height)
    dtype = (
        f"f{layout.bits // 8}" if layout.kind == _FLOAT and layout.bits != 24 else "u4" if layout.bits > 16 else "u2"
    )
    if layout.bits <= 8:
        dtype = "u1"
    plane = np.zeros((layout.height, layout.width, samples), dtype)
    for index in range(across * down):
        top, left = index // across * layout.part_height, index % across * layout.part_width
        rows = layout.part_height if layout.part_width != layout.width else min(layout.part_height, layout.height - top)
        part = _part(source, layout, number * across * down + index, rows, samples)
        inside = part[: layout.height - top, : layout.width - left]
        plane[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return plane


def _part(source: Source, layout: _Layout, index: int, rows: int, samples: int) -> NDArray[Any]:
    if index >= len(layout.offsets):
        raise Broken("there are fewer strips than the picture has")
    row_samples = layout.part_width * samples
    wanted = rows * ((row_samples * layout.bits + 7) // 8)
    at = layout.offsets[index]
    stored = layout.counts[index] if index < len(layout.counts) else wanted
    data = _decompressed(source[at : at + stored], layout.compression, wanted)
    if len(data) < wanted:
        raise Broken("a strip is cut off")
    if layout.kind == _FLOAT and layout.bits != 24:
        values: NDArray[Any] = np.frombuffer(data, f"{layout.order}f{layout.bits // 8}", count=rows * row_samples)
    else:
        values = unpacked(data[:wanted], rows=rows, samples=row_samples, bits=layout.bits, order=layout.order)
    values = values.reshape(rows, layout.part_width, samples)
    if layout.predictor == 2:
        values = np.cumsum(values, axis=1, dtype=values.dtype)
    return values


def _decompressed(data: bytes, compression: int, wanted: int) -> bytes:
    if compression == _PLAIN:
        return data
    if compression == _PACKBITS:
        return _unpackbits(data, wanted)
    try:
        return zlib.decompressobj().decompress(data, wanted)
    except zlib.error as error:
        raise Broken("a strip cannot be inflated") from error


def _unpackbits(data: bytes, wanted: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(data) and len(out) < wanted:
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += head + 2
        else:
            out += data[at + 1 : at + 2] * (257 - head if head > 128 else 0)
            at += 2
    return bytes(out)


def _picture(page: Directory, layout: _Layout, values: NDArray[Any]) -> Image.Image:
    colours = _SAMPLES_OF[layout.photometric]
    if layout.photometric == _PALETTE:
        return _by_palette(page, layout, values[..., 0])
    scaled = _scaled(layout, values)
    if layout.photometric == _WHITE_IS_ZERO:
        scaled[..., 0] = 255 - scaled[..., 0]
    meaning = page.integer(0x152)
    if meaning in (1, 2) and layout.samples > colours and colours in (1, 3):
        spread = scaled[..., [0] * 3 if colours == 1 else [0, 1, 2]]
        pixels = np.concatenate([spread, scaled[..., colours : colours + 1]], axis=2)
        size = (layout.width, layout.height)
        image = Image.frombytes("RGBA" if meaning == 2 else "RGBa", size, np.ascontiguousarray(pixels).tobytes())
        return image if meaning == 2 else image.convert("RGBA")
    if colours == 1:
        return Image.fromarray(np.ascontiguousarray(scaled[..., 0]))
    data = np.ascontiguousarray(scaled[..., :colours]).tobytes()
    return Image.frombytes("RGB" if colours == 3 else "CMYK", (layout.width, layout.height), data)


def _scaled(layout: _Layout, values: NDArray[Any]) -> NDArray[np.uint8]:
    if layout.kind == _FLOAT:
        return eight_bits_of_floats(_floats_of_24_bits(values) if layout.bits == 24 else values)
    if layout.kind == _SIGNED:  # two's complement: turned so that the lowest value is black
        values = values.astype(np.uint32) ^ np.uint32(1 << (layout.bits - 1))
    return eight_bits(values, 2**layout.bits - 1)


def _floats_of_24_bits(values: NDArray[Any]) -> NDArray[np.float32]:
    """1 bit of sign, 7 of exponent, 16 of mantissa (TIFF Technical Note 3)."""
    sign = np.where(values >> 23, -1.0, 1.0)
    exponent, mantissa = (values >> 16 & 0x7F).astype(np.int32), (values & 0xFFFF).astype(np.float64)
    size = np.where(exponent == 0, np.ldexp(mantissa / 65_536, -62), np.ldexp(1 + mantissa / 65_536, exponent - 63))
    return (sign * size).astype(np.float32)


def _by_palette(page: Directory, layout: _Layout, values: NDArray[Any]) -> Image.Image:
    entries = 1 << layout.bits
    numbers = page.numbers(0x140, 3 * entries) or []
    if layout.bits > 16 or len(numbers) < 3 * entries:
        raise Broken("the palette is cut off")
    table = (np.array(numbers, np.uint16).reshape(3, entries).T >> 8).astype(np.uint8)
    return Image.fromarray(table[values])
