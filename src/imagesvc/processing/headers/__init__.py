"""What files say about themselves: one bounded reader per format, no imaging library, nothing decoded.

``header.py`` has what comes out, ``directories.py`` the tag directories that TIFF and EXIF share; the rest are readers.
They raise only Refusal. Sizes found here are stored sizes; the limits are checked against them before any decoder runs.
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
