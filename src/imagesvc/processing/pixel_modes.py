"""Converts decoded images to the four 8-bit modes that renditions are made from: L, RGB, RGBA and CMYK."""

import numpy as np
from PIL import Image, ImageCms

from imagesvc.processing.rasters.samples import eight_bits, eight_bits_of_floats


def in_simple_mode(image: Image.Image) -> Image.Image:
    """Convert to L, RGB, RGBA or CMYK of 8 bits."""
    mode = image.mode
    if mode == "RGBA" or (mode in ("RGB", "L", "CMYK") and not image.has_transparency_data):
        pixels = image
    elif mode.startswith("I") or mode == "F":
        pixels = _to_eight_bits(image)
    elif image.has_transparency_data:
        pixels = image.convert("RGBA")
    elif mode == "1":
        pixels = image.convert("L")
    elif mode == "LAB":
        pixels = _from_lab(image)
    else:
        pixels = image.convert("RGB")
    return pixels


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Convert deep gray to L, or to RGBA if one level is transparent.

    Integers are scaled from 16 bits, or from their actual range if it is larger. Floats are scaled from 0 to 1, or from
    the larger range that ``eight_bits_of_floats`` finds.
    """
    values = np.asarray(image)
    if values.dtype.kind == "f":
        levels = eight_bits_of_floats(values)
    else:
        lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
        levels = eight_bits(values - lowest, max(65_535, highest - lowest))
    gray = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return gray
    pixels = gray.convert("RGBA")
    pixels.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return pixels


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image.convert("RGB")
