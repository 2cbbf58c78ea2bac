"""What files say about themselves: one bounded reader per format, without an imaging library; nothing is decoded.

    header.py          the result, and how reading can fail
    jpeg.py png.py webp.py gif.py tiff.py bmp.py
                       one reader each
    isobmff.py         HEIC, HEIF and AVIF
    tiff_directory.py  tag directories, which TIFF and EXIF share

Readers raise only Refusal. Sizes are stored sizes; the limits are checked against them before any decoder runs.
"""

from imagesvc.processing.headers.bmp import read_bmp
from imagesvc.processing.headers.gif import read_gif
from imagesvc.processing.headers.header import Broken, Budget, Header, HeaderReader, Refusal, Source
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

__all__ = ["READERS", "Broken", "Budget", "Header", "Refusal", "Source"]
