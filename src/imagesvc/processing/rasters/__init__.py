"""Pixel layouts that Pillow declines or misreads: BMP with any bit fields, TIFF with any depth, planes or byte order.

    bmp.py          BMP: palettes, and bit fields of any width and order
    tiff.py         TIFF: strips and tiles become one array of samples
    tiff_layout.py  TIFF: how the samples lie in the file, and which layouts are known
    tiff_pixels.py  TIFF: samples become 8-bit pixels
    samples.py      unpacks samples of any width and scales them to 8 bits

Tried after Pillow declines a file, so ordinary photographs never get here, and before Pillow for the layouts
that it misreads. Which kinds of file need this: docs/decisions/0013-raster-fallbacks.md.
"""

from PIL import Image

from imagesvc.processing.headers import Source
from imagesvc.processing.rasters.bmp import bmp_raster
from imagesvc.processing.rasters.tiff import tiff_raster
from imagesvc.processing.rasters.tiff_layout import is_misread


def is_misread_by_pillow(source: Source, media_type: str) -> bool:
    """Whether Pillow would open the file without an error but return wrong pixels."""
    return media_type == "image/tiff" and is_misread(source)


def raster(source: Source, media_type: str) -> Image.Image | None:
    """The first picture as L, RGB, RGBA or CMYK, in stored orientation. None for an unknown layout.

    Raises Refusal when the file is cut off."""
    match media_type:
        case "image/bmp":
            return bmp_raster(source)
        case "image/tiff":
            return tiff_raster(source)
    return None


__all__ = ["is_misread_by_pillow", "raster"]
