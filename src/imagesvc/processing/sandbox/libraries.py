"""Set the imaging libraries up for one image in one process: no threads, our limits in place of theirs."""

import gc
import io

import pillow_heif
from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, PngImagePlugin

from imagesvc.processing.contract import REPLY, Work
from imagesvc.processing.limits import Limits
from imagesvc.processing.pipeline import process


def prepare() -> None:
    """Once, before the first fork."""
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.init()
    _warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page that the fork shares


def _discard(index: int, data: bytes) -> None:
    """The pictures of the warm-up go nowhere."""


def _warm_up() -> None:
    """Have every module imported that is imported late: a child may not be able to read them any more."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    camera = Image.Exif()
    camera[0x0110] = "warm-up"
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        file = io.BytesIO()
        options = {} if format in ("GIF", "BMP") else {"icc_profile": profile, "exif": camera}
        Image.new("RGB", (64, 48), "gray").save(file, format, **options)
        request = Work(renditions=(("thumb", "webp"), ("thumb", "jpg"), ("thumb", "avif")))
        reply = process(io.BytesIO(file.getvalue()), file.getvalue(), request, Limits(), _discard)
        if reply.outcome != "processed":
            raise RuntimeError(f"{format}: {reply.detail}")
        REPLY.validate_json(reply.model_dump_json())


def apply(limits: Limits) -> None:
    """In the child: header checks came first, so these only keep Pillow from being stricter than we are."""
    PngImagePlugin.MAX_TEXT_CHUNK = max(limits.max_text_bytes, limits.max_profile_bytes)
    PngImagePlugin.MAX_TEXT_MEMORY = 2 * PngImagePlugin.MAX_TEXT_CHUNK
