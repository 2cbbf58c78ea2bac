"""Makes renditions and resizes from one decoded image: resize, turn upright, convert to sRGB, encode.

Lanczos by `cykooz-resizer`. Each size is made from the next larger one, which keeps over 50 dB against Pillow's Lanczos
from the full image at a tenth of the cost (docs/decisions/0003). The first resize precedes rotation and color
conversion, which then process a quarter of the pixels.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from imagesvc.processing.color import to_srgb
from imagesvc.processing.contract import LONG_SIDE, Format, Preset, Resize, ResizeFormat, stands_for
from imagesvc.processing.decode import DecodedImage

Size = tuple[int, int]

_TRANSPOSE_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WEBP_METHOD: dict[Preset, int] = {"thumb": 2, "medium": 1, "large": 1, "full": 0}
"""Measured (docs/decisions/0003): method 1 has the PSNR of method 4 in a third of its time, for 8 to 16 % more bytes.
Thumbnails cost little to make and are served most, so they get smaller files: method 2, 3 % more bytes than method 4 in
half its time."""
_MAX_SIDE: dict[ResizeFormat, int] = {"webp": 16_383, "jpg": 65_500, "avif": 16_384, "png": 65_535}
"""Limit of the format or its encoder; `full` is reduced to it."""
_REDUCED_DECODE_MARGIN = 2
"""A JPEG may be decoded at a half, a quarter or an eighth of its size if that is at least this many times the wanted
size. Closer to it, the decoder's own scaling is visible (47 dB instead of 55)."""
_PILLOW_FORMAT: dict[ResizeFormat, str] = {"webp": "WEBP", "jpg": "JPEG", "avif": "AVIF", "png": "PNG"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    preset: Preset
    format: Format
    width: int
    height: int
    data: bytes


def fit_within(size: Size, max_side: int | None) -> Size:
    """The size scaled down so that its long side is at most ``max_side``. Never scaled up."""
    width, height = size
    long_side = max(size)
    if max_side is None or long_side <= max_side:
        return size
    return max(1, round(width * max_side / long_side)), max(1, round(height * max_side / long_side))


def decode_size(size: Size, presets: Sequence[Preset]) -> Size | None:
    """The smallest size at which decoding serves these presets; None is the full size."""
    sides = [LONG_SIDE[preset] for preset in presets]
    largest = max((side for side in sides if side is not None), default=0)
    return fit_within(size, largest * _REDUCED_DECODE_MARGIN) if largest and None not in sides else None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply EXIF's orientation."""
    transpose = _TRANSPOSE_TO_UPRIGHT.get(orientation)
    return image.transpose(transpose) if transpose is not None else image


class Cascade:
    """One decoded image in decreasing sizes, upright and in sRGB. Request the largest size first."""

    def __init__(self, decoded: DecodedImage, full_size: Size) -> None:
        """``full_size`` is the size of the stored image; ``decoded`` may be smaller."""
        self.decoded = decoded
        self.full_size = full_size
        self._made: list[Image.Image] = []

    def image_within(self, max_side: int | None) -> Image.Image:
        """The image with its long side at most ``max_side``, made from the smallest sufficient one made before."""
        stored = fit_within(self.full_size, max_side)
        size = stored[::-1] if self.decoded.orientation >= 5 else stored
        sources = [image for image in self._made if image.width >= size[0] and image.height >= size[1]]
        image = resized(sources[-1], size) if sources else displayable(self.decoded, stored)
        if not sources or image is not sources[-1]:
            self._made.append(image)
        return image


def make_renditions(cascade: Cascade, wanted: Sequence[tuple[Preset, Format]]) -> Iterator[Rendition]:
    """Encode each rendition with pixels of its own, the largest first.

    Of several presets that would show the whole image, unreduced, only the smallest one is made.
    """
    whole = [name for name in wanted if fit_within(cascade.full_size, LONG_SIDE[name[0]]) == cascade.full_size]
    same = {
        (preset, format)
        for preset, format in whole
        if any(other_format == format and stands_for(other, preset) for other, other_format in whole)
    }
    names = dict.fromkeys(name for name in wanted if name not in same)
    for preset, format in sorted(names, key=lambda name: LONG_SIDE[name[0]] or 1 << 31, reverse=True):
        image = cascade.image_within(LONG_SIDE[preset])
        image = resized(image, fit_within(image.size, _MAX_SIDE[format]))
        data = encode(image, format, webp_method=_WEBP_METHOD[preset])
        yield Rendition(preset=preset, format=format, width=image.width, height=image.height, data=data)


def displayable(decoded: DecodedImage, stored_size: Size) -> Image.Image:
    """Resize to ``stored_size``, then turn upright and convert to sRGB."""
    return _upright_srgb(decoded, resized(decoded.image, stored_size))


def _upright_srgb(decoded: DecodedImage, image: Image.Image) -> Image.Image:
    """``image`` is ``decoded.image`` after resizing."""
    image = upright(image, decoded.orientation)
    return without_opaque_alpha(to_srgb(image, decoded.profile, decoded.primaries, decoded.transfer))


def resized(image: Image.Image, size: Size, crop: CropBox | None = None) -> Image.Image:
    """Resize by Lanczos, with premultiplied alpha. Returns ``image`` itself if nothing changes."""
    if image.size == size and crop is None:
        return image
    target = Image.new(image.mode, size)
    options = ResizeOptions(ResizeAlg.convolution(FilterType.lanczos3), crop_box=crop)
    Resizer().resize_pil(image, target, options)
    return target


def without_opaque_alpha(image: Image.Image) -> Image.Image:
    """Drop an alpha channel that is fully opaque: it slows encoders down, and JPEG has none."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def encode(image: Image.Image, format: ResizeFormat, *, quality: int | None = None, webp_method: int = 1) -> bytes:
    """Encode without metadata. A JPEG gets a white background where the image is transparent."""
    if format == "jpg" and image.mode == "RGBA":
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image.getchannel("A"))
        image = background
    options: dict[ResizeFormat, dict[str, int]] = {
        "webp": {"quality": quality or 80, "method": webp_method},
        "jpg": {"quality": quality or 85, "optimize": True},
        "avif": {"quality": quality or 60, "speed": 8, "max_threads": 1},
        "png": {"compress_level": 6},
    }
    file = io.BytesIO()
    bare = image.copy() if image.info else image
    bare.info.clear()
    bare.save(file, _PILLOW_FORMAT[format], **options[format])
    return file.getvalue()


def resize_decode_size(size: Size, orientation: int, request: Resize) -> Size | None:
    """Like :func:`decode_size`, for a resize: both sides must stay large enough."""
    box = _stored_box_size(request, orientation)
    scale = max(box[0] / size[0], box[1] / size[1]) * _REDUCED_DECODE_MARGIN
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))) if scale < 1 else None


def make_resize(decoded: DecodedImage, request: Resize, full_size: Size) -> tuple[Image.Image, bytes]:
    """The resized image and its encoded file. ``full_size`` as for :class:`Cascade`."""
    size = _stored_box_size(request, decoded.orientation)
    crop = None
    if request.fit == "contain":
        scale = min(size[0] / full_size[0], size[1] / full_size[1], 1.0)
        size = (max(1, round(full_size[0] * scale)), max(1, round(full_size[1] * scale)))
    elif request.fit == "cover":
        crop = CropBox.get_crop_box_to_fit_dst_size(decoded.image.size, size)
    image = _upright_srgb(decoded, resized(decoded.image, size, crop))
    return image, encode(image, request.format, quality=request.quality, webp_method=2)


def _stored_box_size(request: Resize, orientation: int) -> Size:
    """The requested box in the orientation of the stored image."""
    return (request.height, request.width) if orientation >= 5 else (request.width, request.height)
