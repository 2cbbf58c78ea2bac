"""Turns the samples of a TIFF page into 8-bit pixels."""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.headers import BrokenImage
from imagesvc.processing.rasters.samples import Integers, Samples, eight_bits, eight_bits_of_floats
from imagesvc.processing.rasters.tiff_layout import (
    ALPHA,
    COLORS,
    FLOAT,
    PALETTE,
    PREMULTIPLIED_ALPHA,
    SIGNED,
    WHITE_IS_ZERO,
    TiffLayout,
)

_MAX_PALETTE_BITS = 16


def pixels_of(layout: TiffLayout, samples: Samples) -> Image.Image:
    """L, RGB, RGBA or CMYK of samples in height x width x samples of a pixel. Raises BrokenImage."""
    if layout.photometric == PALETTE:
        return _by_palette(layout, cast("Integers", samples[..., 0]))  # a layout with a palette of floats is unknown
    colors = COLORS[layout.photometric]
    scaled = _scaled(layout, samples)
    if layout.photometric == WHITE_IS_ZERO:
        scaled[..., 0] = 255 - scaled[..., 0]
    if layout.extra_sample in (PREMULTIPLIED_ALPHA, ALPHA) and layout.samples > colors and colors in (1, 3):
        return _with_alpha(layout, scaled, colors)
    if colors == 1:
        return Image.fromarray(np.ascontiguousarray(scaled[..., 0]))
    return _image("RGB" if colors == 3 else "CMYK", layout, scaled[..., :colors])


def _with_alpha(layout: TiffLayout, scaled: NDArray[np.uint8], colors: int) -> Image.Image:
    red_green_blue = scaled[..., [0] * 3 if colors == 1 else [0, 1, 2]]
    pixels = np.concatenate([red_green_blue, scaled[..., colors : colors + 1]], axis=2)
    if layout.extra_sample == ALPHA:
        return _image("RGBA", layout, pixels)
    return _image("RGBa", layout, pixels).convert("RGBA")


def _image(mode: str, layout: TiffLayout, pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes(mode, (layout.width, layout.height), np.ascontiguousarray(pixels).tobytes())


def _scaled(layout: TiffLayout, samples: Samples) -> NDArray[np.uint8]:
    if layout.sample_format == FLOAT:
        return eight_bits_of_floats(
            _floats_of_24_bits(samples.astype(np.uint32, copy=False)) if layout.bits == 24 else samples
        )
    if layout.sample_format == SIGNED:  # two's complement: flipping the sign bit maps the lowest value to 0
        samples = samples.astype(np.uint32) ^ np.uint32(1 << (layout.bits - 1))
    if layout.bits == 32 and layout.samples == 1:  # measurements, which rarely fill the range
        lowest, highest = int(samples.min(initial=2**32 - 1)), int(samples.max(initial=0))
        return eight_bits(samples.astype(np.int64) - lowest, max(65_535, highest - lowest))
    return eight_bits(samples, 2**layout.bits - 1)


def _floats_of_24_bits(values: NDArray[np.uint32]) -> NDArray[np.float32]:
    """1 bit of sign, 7 of exponent, 16 of mantissa (TIFF Technical Note 3)."""
    sign = np.where(values >> 23, -1.0, 1.0)
    exponent, mantissa = (values >> 16 & 0x7F).astype(np.int32), (values & 0xFFFF).astype(np.float64)
    size = np.where(exponent == 0, np.ldexp(mantissa / 65_536, -62), np.ldexp(1 + mantissa / 65_536, exponent - 63))
    return (sign * size).astype(np.float32)


def _by_palette(layout: TiffLayout, indexes: Integers) -> Image.Image:
    entries = 1 << layout.bits
    if layout.bits > _MAX_PALETTE_BITS or len(layout.color_map) < 3 * entries:
        raise BrokenImage("the palette is cut off")
    if not all(0 <= value <= 65_535 for value in layout.color_map):
        raise BrokenImage("the palette has values of more than 16 bits")
    color_map = np.array(layout.color_map[: 3 * entries], np.uint16).reshape(3, entries)
    palette = (color_map.T >> 8).astype(np.uint8)
    return Image.fromarray(palette[indexes])
