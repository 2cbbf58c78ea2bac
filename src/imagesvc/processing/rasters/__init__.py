"""Pixel layouts that Pillow does not know: BMP with any bit fields, TIFF with any depth, planes or byte order.

Only what is stored plainly or nearly so (uncompressed, Deflate, PackBits); ``samples.py`` scales what is read to 8
bits. Tried after Pillow has declined, so a real photograph never gets here, and before it for the one layout that
Pillow takes for another.
"""

from PIL import Image

from imagesvc.processing.headers import Source
from imagesvc.processing.rasters.bmp import bmp_raster
from imagesvc.processing.rasters.tiff import has_deep_planes, tiff_raster


def misread_by_pillow(source: Source, media_type: str) -> bool:
    """Deep samples in separate planes: Pillow reads their bytes as 8-bit samples, which gives noise."""
    return media_type == "image/tiff" and has_deep_planes(source)


def raster(source: Source, media_type: str) -> Image.Image | None:
    """The first picture as L, RGB, RGBA or CMYK, as stored; None when this layout is not known here either.

    Raises Refusal when the file is cut off."""
    match media_type:
        case "image/bmp":
            return bmp_raster(source)
        case "image/tiff":
            return tiff_raster(source)
    return None


__all__ = ["misread_by_pillow", "raster"]
