"""Configures the imaging libraries for one image per process: no threads, and the service's limits."""

import codecs
import io

import pillow_heif
from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, PngImagePlugin

from imagesvc.processing.contract import Work
from imagesvc.processing.limits import Limits
from imagesvc.processing.pipeline import process
from imagesvc.processing.sandbox.protocol import encoded


def prepare() -> None:
    """Call once, before the first fork."""
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.init()
    _warm_up()


def _discard(index: int, data: bytes) -> None:
    """Takes the output files of the warm-up."""


_LATE_CODECS = ("ascii", "utf-8", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "idna", "cp437")
"""Encodings that metadata and the XML parser may ask for. Python imports each one on its first use."""


def _warm_up() -> None:
    """Import every module that is imported late, because a confined child may not be able to read it."""
    for codec in _LATE_CODECS:
        codecs.lookup(codec)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0110] = "warm-up"
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        file = io.BytesIO()
        options = {} if format in ("GIF", "BMP") else {"icc_profile": profile, "exif": exif}
        Image.new("RGB", (64, 48), "gray").save(file, format, **options)
        request = Work(renditions=(("thumb", "webp"), ("thumb", "jpg"), ("thumb", "avif")))
        reply = process(io.BytesIO(file.getvalue()), file.getvalue(), request, Limits(), _discard)
        if reply.outcome != "processed":
            raise RuntimeError(f"{format}: {reply.detail}")
        encoded(reply)


def apply(limits: Limits) -> None:
    """Call in the child. The header checks ran before; this keeps Pillow from being stricter than them."""
    PngImagePlugin.MAX_TEXT_CHUNK = max(limits.max_text_bytes, limits.max_profile_bytes)
    PngImagePlugin.MAX_TEXT_MEMORY = 2 * PngImagePlugin.MAX_TEXT_CHUNK
