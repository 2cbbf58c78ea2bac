"""Builds small JPEGs with chosen EXIF tags, and reads their facts."""

from datetime import datetime

from imagesvc.processing.facts import Facts
from tests.processing.run_pipeline import facts_of
from tests.support import images
from tests.support.exif_blocks import Tag, block, jpeg_with

PLAIN = images.jpeg(size=(16, 8))
MAKE, MODEL, ORIGINAL, DIGITIZED = 0x10F, 0x110, 0x9003, 0x9004


def local(*parts: int) -> datetime:
    """A time by the camera's clock, which has no time zone."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


def facts_with(*main: Tag, exif: tuple[Tag, ...] = (), gps: tuple[Tag, ...] = (), xmp: bytes | None = None) -> Facts:
    return facts_of(jpeg_with(PLAIN, exif=block(*main, exif=exif, gps=gps), xmp=xmp))
