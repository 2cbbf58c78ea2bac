"""Pixel layouts that Pillow does not know: BMP with any bit fields, TIFF with any depth, planes or byte order.

    bmp.py      BMP with bit fields
    tiff.py     TIFF that is uncompressed, Deflate or PackBits
    samples.py  scales samples to 8 bits

Tried after Pillow has declined, so ordinary photographs never get here; and before Pillow for the one layout that it
misreads.
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
