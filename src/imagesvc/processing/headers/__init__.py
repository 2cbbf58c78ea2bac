"""Header readers: what a file states about itself. Bounded, without an imaging library; no pixel is decoded.

    header.py              the result, the limits of a reader, and the errors
    jpeg.py                JPEG, and the first picture of an MPO
    png.py                 PNG and APNG
    webp.py                WebP
    gif.py                 GIF
    tiff.py                TIFF and BigTIFF
    bmp.py                 Windows and OS/2 bitmaps
    isobmff.py             HEIC, HEIF and AVIF
    isobmff_boxes.py       the boxes of those files
    isobmff_items.py       the tables of their items
    isobmff_properties.py  size, orientation, crop and color of their primary item
    tiff_directory.py      tag directories, which TIFF and EXIF share

Readers raise only Refusal. Sizes are stored sizes. The limits are checked against them before a decoder runs.
"""

from imagesvc.processing.headers.bmp import read_bmp
from imagesvc.processing.headers.gif import read_gif
from imagesvc.processing.headers.header import BrokenImage, Header, HeaderLimits, HeaderReader, Refusal, Source
from imagesvc.processing.headers.isobmff import read_isobmff
from imagesvc.processing.headers.jpeg import read_jpeg
from imagesvc.processing.headers.png import read_png
from imagesvc.processing.headers.tiff import read_tiff
from imagesvc.processing.headers.webp import read_webp

READERS: dict[str, HeaderReader] = {
    "image/jpeg": read_jpeg,
    "image/png": read_png,
    "image/webp": read_webp,
    "image/gif": read_gif,
    "image/tiff": read_tiff,
    "image/bmp": read_bmp,
    "image/heic": read_isobmff,
    "image/heif": read_isobmff,
    "image/avif": read_isobmff,
}

__all__ = ["READERS", "BrokenImage", "Header", "HeaderLimits", "Refusal", "Source"]
