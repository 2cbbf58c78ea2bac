"""Pictures that measure like photos: overlapping discs of all sizes and shades (the dead-leaves model), softly lit.

They have edges in every direction, flat areas and the full range of tones; equal seeds give equal pixels. Below them,
what can befall a photo.
"""

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]


@lru_cache(maxsize=64)
def scene(seed: int, *, width: int = 640, height: int = 480) -> Pixels:
    random = np.random.default_rng(seed)
    # drawn at twice the size and reduced, so that edges are as soft as a lens and a sensor leave them
    canvas = Image.new("RGB", (2 * width, 2 * height), (120, 120, 120))
    draw = ImageDraw.Draw(canvas)
    for _ in range(900):
        radius = 12 * width / 640 * random.pareto(1.2) + 8
        x, y = random.uniform(0, 2 * width), random.uniform(0, 2 * height)
        shade = random.uniform(0, 250)
        tint = np.clip(shade + random.uniform(-30, 30, 3), 0, 250).astype(int)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(tint.tolist()))
    leaves = np.asarray(canvas.resize((width, height), Image.Resampling.LANCZOS), dtype=np.float32)
    light = np.linspace(1.0, 0.85, width, dtype=np.float32)[np.newaxis, :, np.newaxis]
    pixels = _pixels(leaves * light)
    pixels.setflags(write=False)
    return pixels


def blurred(pixels: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def shaken(pixels: Pixels, length: int) -> Pixels:
    """Moved along x while the shutter was open."""
    return _pixels(np.mean([np.roll(pixels, shift, axis=1).astype(np.float32) for shift in range(length)], axis=0))


def noisy(pixels: Pixels, deviation: float) -> Pixels:
    return _pixels(pixels + np.random.default_rng(7).normal(0, deviation, pixels.shape))


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def exposed(pixels: Pixels, gain: float) -> Pixels:
    return _pixels(pixels * float(gain))


def flattened(pixels: Pixels, contrast: float) -> Pixels:
    return _pixels((pixels - 128.0) * contrast + 128)


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _pixels(values: NDArray[np.floating]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
