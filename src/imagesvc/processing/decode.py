"""Decodes one image: the first frame, in stored orientation, in one of four 8-bit modes, with its colors as stored.

The limits were checked on the header before. If the decoder gives up on a file, the file is at fault (Refusal).
MemoryError passes through: the pipeline knows the memory limit.
"""

import io
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import numpy as np
import pillow_heif
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagesvc.processing.headers import BrokenImage, Header, Refusal, Source
from imagesvc.processing.headers.png import png_without_metadata
from imagesvc.processing.pixel_modes import in_simple_mode
from imagesvc.processing.png_color import stated_profile
from imagesvc.processing.rasters import is_misread_by_pillow, raster

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
_ORIENTED_BY_DECODER = {"image/heic", "image/heif"}
_FRAMES_BY_DECODER = {"image/webp", "image/avif"}
_ORIENTATION_TAG = 0x112
_UNSUPPORTED_TIFF_COMPRESSIONS = {"webp"}
"""Compressions that Pillow knows but its libtiff is built without. libtiff would report them as damaged files."""
_UNSUPPORTED_WORDS = ("unsupported", "not supported", "not available", "cannot handle", "unknown pixel mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedImage:
    """A file whose decoder has read the header but no pixels."""

    image: ImageFile | None
    """None if Pillow cannot open the file or would return wrong pixels; ``rasters`` may still know its layout"""
    open_error: Refusal | None
    """the reason in that case"""
    source: Source
    media_type: str
    header: Header
    color_mode: str | None
    size: tuple[int, int]
    """Of the pixels that the decoder will return at full size. The decoder turns only HEIC and HEIF itself."""
    frames: int

    def display_size(self, orientation: int) -> tuple[int, int]:
        """Size of the cropped and upright image."""
        width, height = self.size
        if self.media_type in _ORIENTED_BY_DECODER and self.image is not None:
            return width, height
        if self.header.crop is not None:
            left, top, right, bottom = self.header.crop
            width, height = right - left, bottom - top
        return (height, width) if orientation >= 5 else (width, height)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """Decoded pixels in mode L, RGB, RGBA or CMYK, before orientation and color conversion."""

    image: Image.Image
    orientation: int
    """EXIF's number for the rotation that remains to be applied"""
    profile: bytes | None
    """ICC profile of the pixels"""
    primaries: int | None
    transfer: int | None
    """ITU-T H.273 code points of the pixels, used if there is no profile"""

    @property
    def upright_size(self) -> tuple[int, int]:
        width, height = self.image.size
        return (height, width) if self.orientation >= 5 else (width, height)


def open_image(file: IO[bytes], source: Source, media_type: str, header: Header) -> OpenedImage:
    """``file`` and ``source`` are the same bytes."""
    image: ImageFile | None = None
    open_error: Refusal | None = None
    if is_misread_by_pillow(source, media_type):
        open_error = Refusal("unsupported-content", "this compression of this pixel layout is not supported")
    else:
        try:
            image = _open(file, source, media_type)
        except (MemoryError, Refusal):
            raise
        except Exception as error:
            open_error = Refusal("unsupported-content", f"no decoder for this kind of {media_type}: {_message(error)}")
    return OpenedImage(
        image=image,
        open_error=open_error,
        source=source,
        media_type=media_type,
        header=header,
        color_mode=image.mode if image is not None else None,
        size=image.size if image is not None else (header.width, header.height),
        frames=getattr(image, "n_frames", 1) if media_type in _FRAMES_BY_DECODER else header.frames,
    )


def _open(file: IO[bytes], source: Source, media_type: str) -> ImageFile:
    """Raises Refusal, and the errors of Pillow."""
    with warnings.catch_warnings(action="ignore"):
        try:
            image = _PLUGINS[media_type](file)
        except Exception:
            if media_type != "image/png":
                raise
            image = PngImageFile(io.BytesIO(png_without_metadata(source)))
        if isinstance(image, TiffImageFile):
            _check_compression(image)
            _disable_orientation(image)
    return image


def _check_compression(image: TiffImageFile) -> None:
    compression = image.info.get("compression")
    if compression in _UNSUPPORTED_TIFF_COMPRESSIONS:
        raise Refusal("unsupported-content", f"TIFF files with {compression} compression are not supported")


def _disable_orientation(image: TiffImageFile) -> None:
    """Keep Pillow from turning the pixels of a TIFF.

    Pillow reads the tag only in some of its possible types and also uses XMP. The pipeline turns all formats itself, by
    the number that the facts state.
    """
    image.info.pop("xmp", None)
    for tags in (image.tag_v2, image.getexif()):
        if _ORIENTATION_TAG in tags:
            del tags[_ORIENTATION_TAG]
    image._size = image._tile_size


def decode(opened: OpenedImage, *, orientation: int, reduce_to: tuple[int, int] | None = None) -> DecodedImage:
    """Decode the pixels. ``orientation`` is EXIF's. Raises Refusal.

    With ``reduce_to``, a JPEG may be decoded at a smaller size, but not below this one. That saves time and memory for
    pixels that a later resize would discard.
    """
    image, header = opened.image, opened.header
    if image is None:
        return _decode_raster(opened, orientation)
    if opened.media_type == "image/jpeg":
        image = _load_jpeg(opened.source, image, reduce_to)
    elif opened.media_type == "image/png":
        image = _load_png(opened.source, image)
    else:
        _load(image)
    is_oriented = opened.media_type in _ORIENTED_BY_DECODER
    pixels = in_simple_mode(image)
    if header.crop is not None and not is_oriented:
        pixels = pixels.crop(header.crop)
    profile = image.info.get("icc_profile") or stated_profile(header, is_gray=pixels.mode == "L")
    if opened.media_type == "image/png" and header.primaries is not None:
        profile = None  # cICP takes precedence over iCCP (PNG, third edition, section 12.1)
    return DecodedImage(
        image=pixels,
        orientation=1 if is_oriented else display_orientation(header, orientation),
        profile=profile,
        primaries=header.primaries,
        transfer=header.transfer,
    )


def _decode_raster(opened: OpenedImage, orientation: int) -> DecodedImage:
    pixels = raster(opened.source, opened.media_type)
    if pixels is None:
        raise opened.open_error or BrokenImage("it has no pixels")
    return DecodedImage(image=pixels, orientation=orientation, profile=None, primaries=None, transfer=None)


def display_orientation(header: Header, exif_orientation: int | None) -> int:
    """EXIF's number for how stored pixels are turned for display. A container's own rotation overrides EXIF."""
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
        message = _message(error)
        if "memory" in message.lower():
            raise MemoryError(message) from error
        if any(word in message.lower() for word in _UNSUPPORTED_WORDS):
            raise Refusal("unsupported-content", message) from error
        raise BrokenImage(message) from error


def _message(error: Exception) -> str:
    """The decoder's message, shortened and without control characters, because callers see it."""
    words = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(words.split())[:160] or type(error).__name__


def _load_png(source: Source, image: ImageFile) -> ImageFile:
    """Pillow also fails on damaged texts after the pixels, which browsers ignore."""
    try:
        _load(image)
    except BrokenImage:
        image = PngImageFile(io.BytesIO(png_without_metadata(source)))
        _load(image)
    return image


def _load_jpeg(source: Source, image: ImageFile, reduce_to: tuple[int, int] | None) -> ImageFile:
    """Accept a JPEG that lacks only its end marker, as cameras write it that lose power.

    Decoding twice with different filler at the end shows whether more is missing: the filler changes pixels only if
    some were cut off. The first changed row shows how much that is.
    """
    try:
        _draft(image, reduce_to)
        _load(image)
    except BrokenImage:
        data = source[:]
        if data.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
            raise
        noise = random.Random(1).randbytes(4_096).replace(b"\xff", b"\0")  # noqa: S311
        image, other = (_load_with_end_marker(data + filler, reduce_to) for filler in (b"", noise))
        missing = _changed_share(image, other)
        if missing:
            percent = max(1, round(missing * 100))
            raise BrokenImage(f"the file ends too early: the last {percent} % of the image are missing") from None
    return image


def _changed_share(image: Image.Image, other: Image.Image) -> float:
    """The share of the rows from the first row that differs, 0 to 1."""
    pixels, other_pixels = np.asarray(image), np.asarray(other)
    changed = np.flatnonzero((pixels != other_pixels).reshape(len(pixels), -1).any(axis=1))
    return 1 - changed[0] / len(pixels) if len(changed) else 0.0


def _load_with_end_marker(data: bytes, reduce_to: tuple[int, int] | None) -> ImageFile:
    image = JpegImageFile(io.BytesIO(data + b"\xff\xd9"))
    _draft(image, reduce_to)
    _load(image)
    return image


def _draft(image: ImageFile, reduce_to: tuple[int, int] | None) -> None:
    if reduce_to is not None:
        image.draft(None, reduce_to)
