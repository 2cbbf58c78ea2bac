"""Decode one image: the first frame, in stored orientation, in one of a few 8-bit modes, its colours as stored.

The limits were checked from the header. A file that the decoder gives up on is at fault itself (Refusal);
running out of memory is ours, and passes through as it is.
"""

import io
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np
import pillow_heif
from PIL import Image, ImageCms
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagesvc.processing.headers import BrokenImage, Header, Refusal, Source
from imagesvc.processing.png_color import stated_profile
from imagesvc.processing.rasters import misread_by_pillow, raster
from imagesvc.processing.rasters.samples import eight_bits, eight_bits_of_floats

_PLUGINS: dict[str, Callable[[IO[bytes]], ImageFile]] = {
    "image/jpeg": JpegImageFile,
    "image/png": PngImageFile,
    "image/webp": WebPImageFile,
    "image/gif": GifImageFile,
    "image/tiff": TiffImageFile,
    "image/bmp": BmpImageFile,
    "image/heic": pillow_heif.HeifImageFile,
    "image/heif": pillow_heif.HeifImageFile,
    "image/avif": AvifImageFile,
}
_TURNED_BY_DECODER = {"image/tiff", "image/heic", "image/heif"}
_UNSUPPORTED_WORDS = ("unsupported", "not supported", "not available", "cannot handle", "unknown pixel mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file whose decoder has read the header and no pixels."""

    image: ImageFile | None
    """None where Pillow declined: then the layout may still be one that ``rasters`` knows"""
    declined: Refusal | None
    source: Source
    media_type: str
    header: Header
    color_mode: str | None

    @property
    def size(self) -> tuple[int, int]:
        return self.image.size if self.image is not None else (self.header.width, self.header.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Decoded pixels: mode L, RGB, RGBA or CMYK, not yet turned, colours as the profile or code points say."""

    image: Image.Image
    orientation: int
    """EXIF's number for what is still to be done"""
    profile: bytes | None
    primaries: int | None
    transfer: int | None


def open_image(file: IO[bytes], source: Source, media_type: str, header: Header) -> Opened:
    """``file`` and ``source`` are the same bytes."""
    image: ImageFile | None = None
    declined: Refusal | None = None
    try:
        with warnings.catch_warnings(action="ignore"):
            image = _PLUGINS[media_type](file)
    except MemoryError:
        raise
    except Exception as error:
        declined = Refusal("unsupported-content", f"no decoder for this kind of {media_type}: {_said(error)}")
    return Opened(
        image=image,
        declined=declined,
        source=source,
        media_type=media_type,
        header=header,
        color_mode=image.mode if image is not None else None,
    )


def decode(opened: Opened, *, orientation: int, reduce_to: tuple[int, int] | None = None) -> Picture:
    """The pixels; ``orientation`` is EXIF's. With ``reduce_to``, a JPEG may come out smaller, but not under that size,
    which leaves out work and memory that a later resize would throw away. Raises Refusal."""
    image, header = opened.image, opened.header
    if image is None or misread_by_pillow(opened.source, opened.media_type):
        return _declined(opened, orientation)
    if opened.media_type == "image/jpeg":
        image = _jpeg(opened.source, image, reduce_to)
    else:
        if opened.media_type == "image/tiff":
            image.info.pop("xmp", None)  # or Pillow turns by XMP's orientation, which counts for nothing here
        _load(image)
    turned = opened.media_type in _TURNED_BY_DECODER
    pixels = _simple(image)
    if header.crop is not None and not turned:
        pixels = pixels.crop(header.crop)
    return Picture(
        image=pixels,
        orientation=1 if turned else shown_orientation(header, orientation),
        profile=image.info.get("icc_profile") or stated_profile(header, is_grey=pixels.mode == "L"),
        primaries=header.primaries,
        transfer=header.transfer,
    )


def _declined(opened: Opened, orientation: int) -> Picture:
    pixels = raster(opened.source, opened.media_type)
    if pixels is None:
        raise opened.declined or BrokenImage("it has no pixels")
    return Picture(image=pixels, orientation=orientation, profile=None, primaries=None, transfer=None)


def shown_orientation(header: Header, exif_orientation: int | None) -> int:
    """How stored pixels are turned for display: a container with a rotation of its own does not listen to EXIF."""
    if header.exif_orientation_applies:
        return exif_orientation or 1
    return header.container_orientation or 1


def _load(image: ImageFile) -> None:
    try:
        with warnings.catch_warnings(action="ignore"):
            image.load()
    except MemoryError:
        raise
    except Exception as error:
        said = _said(error)
        if "memory" in said.lower():
            raise MemoryError(said) from error
        if any(word in said.lower() for word in _UNSUPPORTED_WORDS):
            raise Refusal("unsupported-content", said) from error
        raise BrokenImage(said) from error


def _said(error: Exception) -> str:
    """The decoder's words, shortened and without control characters: they go into an answer."""
    words = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(words.split())[:160] or type(error).__name__


def _jpeg(source: Source, image: ImageFile, reduce_to: tuple[int, int] | None) -> ImageFile:
    """Cameras that lose power leave out the last marker. Whether only that is missing, decoding twice finds out: what
    follows the last pixel changes nothing, what follows a gap does."""
    try:
        _draft(image, reduce_to)
        _load(image)
    except BrokenImage:
        data = source[:]
        if data.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
            raise
        noise = random.Random(1).randbytes(4_096).replace(b"\xff", b"\0")  # noqa: S311
        image, other = (_with_end(data + filler, reduce_to) for filler in (b"", noise))
        if image.tobytes() != other.tobytes():
            raise
    return image


def _with_end(data: bytes, reduce_to: tuple[int, int] | None) -> ImageFile:
    image = JpegImageFile(io.BytesIO(data + b"\xff\xd9"))
    _draft(image, reduce_to)
    _load(image)
    return image


def _draft(image: ImageFile, reduce_to: tuple[int, int] | None) -> None:
    if reduce_to is not None:
        image.draft(None, reduce_to)


def _simple(image: Image.Image) -> Image.Image:
    """As L, RGB, RGBA or CMYK of 8 bits, without metadata."""
    mode = image.mode
    if mode == "RGBA" or (mode in ("RGB", "L", "CMYK") and not image.has_transparency_data):
        pixels = image
    elif mode.startswith("I") or mode == "F":
        pixels = _eight_bits(image)
    elif image.has_transparency_data:
        pixels = image.convert("RGBA")
    elif mode == "1":
        pixels = image.convert("L")
    elif mode == "LAB":
        pixels = _from_lab(image)
    else:
        pixels = image.convert("RGB")
    return pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey as L, or RGBA where one level is transparent. Integers fill 16 bits, or up to their largest value when
    that is more; floats go from 0 to 1 unless they go further."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        levels = eight_bits_of_floats(values)
    else:
        lowest, highest = int(values.min(initial=0)), int(values.max(initial=0))
        levels = eight_bits(values - lowest, max(65_535, highest - lowest))
    grey = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey
    pixels = grey.convert("RGBA")
    pixels.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return pixels


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image.convert("RGB")
