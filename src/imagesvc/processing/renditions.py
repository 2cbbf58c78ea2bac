"""Make the wanted pictures from one decoding: resize in a cascade, turn upright, bring to sRGB, encode.

Lanczos by `cykooz-resizer`; each size is made from the next larger one. Against Pillow's Lanczos from the full picture
that stays above 50 dB and costs a tenth (docs/decisions/0003). The first resize comes before turning and colour, which
then have a quarter of the pixels to do.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image

from imagesvc.processing.color import to_srgb
from imagesvc.processing.contract import LONG_SIDE, Format, Preset, Resize
from imagesvc.processing.decode import Picture

Size = tuple[int, int]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WEBP_METHOD = {"thumb": 4, "medium": 1, "large": 1, "full": 0}
"""measured (bench/processing.py): method 1 has the PSNR of 4 in a third of its time for 1 to 8 % more bytes; thumbnails
are small to make and served most, so there the bytes win"""
_LARGEST_SIDE = {"webp": 16_383, "jpg": 65_500, "avif": 16_384, "png": 65_535}
"""what the format or its encoder can hold; `full` is made smaller where it has to be"""
_AHEAD = 2
"""a JPEG may be decoded at a half, quarter or eighth while that is at least this many times what is wanted: nearer to
it, the decoder's own scaling shows (47 dB instead of 55)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    preset: Preset
    format: Format
    width: int
    height: int
    data: bytes


def within(size: Size, longest: int | None) -> Size:
    """The size with its long side at most that; never larger."""
    width, height = size
    long_side = max(size)
    if longest is None or long_side <= longest:
        return size
    return max(1, round(width * longest / long_side)), max(1, round(height * longest / long_side))


def decode_size(size: Size, presets: Sequence[Preset]) -> Size | None:
    """What a decoder that can scale may go down to for these presets; None is the whole size."""
    sides = [LONG_SIDE[preset] for preset in presets]
    largest = max((side for side in sides if side is not None), default=0)
    return within(size, largest * _AHEAD) if largest and None not in sides else None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image.transpose(turn) if turn is not None else image


class Cascade:
    """One decoded picture in smaller and smaller sizes, upright and in sRGB; ask for the largest first."""

    def __init__(self, picture: Picture, full_size: Size) -> None:
        """``full_size`` is the stored picture's, which decoding at a fraction may have left behind."""
        self.picture = picture
        self.full_size = full_size
        self._kept: list[Image.Image] = []

    def at(self, longest: int | None) -> Image.Image:
        """With its long side at most that; made from the smallest that is kept and large enough."""
        stored = within(self.full_size, longest)
        size = stored[::-1] if self.picture.orientation >= 5 else stored
        sources = [image for image in self._kept if image.width >= size[0] and image.height >= size[1]]
        made = resized(sources[-1], size) if sources else ready(self.picture, stored)
        if not sources or made is not sources[-1]:
            self._kept.append(made)
        return made


def renditions(cascade: Cascade, wanted: Sequence[tuple[Preset, Format]]) -> Iterator[Rendition]:
    """Largest first."""
    for preset, format in sorted(dict.fromkeys(wanted), key=lambda name: LONG_SIDE[name[0]] or 1 << 31, reverse=True):
        image = cascade.at(LONG_SIDE[preset])
        held = resized(image, within(image.size, _LARGEST_SIDE[format]))
        data = encode(held, format, webp_method=_WEBP_METHOD[preset])
        yield Rendition(preset=preset, format=format, width=held.width, height=held.height, data=data)


def ready(picture: Picture, size: Size) -> Image.Image:
    """At that stored size, then upright, in sRGB."""
    image = upright(resized(picture.image, size), picture.orientation)
    return opaque(to_srgb(image, picture.profile, picture.primaries, picture.transfer))


def resized(image: Image.Image, size: Size, crop: CropBox | None = None) -> Image.Image:
    """Lanczos; alpha is multiplied in for it and divided out after."""
    if image.size == size and crop is None:
        return image
    target = Image.new(image.mode, size)
    options = ResizeOptions(ResizeAlg.convolution(FilterType.lanczos3), crop_box=crop)
    Resizer().resize_pil(image, target, options)
    return target


def opaque(image: Image.Image) -> Image.Image:
    """Without an alpha channel that hides nothing: encoders take longer over it, and JPEG has none."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def encode(image: Image.Image, format: str, *, quality: int | None = None, webp_method: int = 1) -> bytes:
    """As a file without metadata; JPEG gets a white ground where the picture is transparent."""
    if format == "jpg" and image.mode == "RGBA":
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    options: dict[str, Any] = {
        "webp": {"format": "WEBP", "quality": quality or 80, "method": webp_method},
        "jpg": {"format": "JPEG", "quality": quality or 85, "optimize": True},
        "avif": {"format": "AVIF", "quality": quality or 60, "speed": 8, "max_threads": 1},
        "png": {"format": "PNG", "compress_level": 6},
    }[format]
    out = io.BytesIO()
    bare = image.copy() if image.info else image
    bare.info.clear()
    bare.save(out, **options)
    return out.getvalue()


def resize_decode_size(size: Size, orientation: int, request: Resize) -> Size | None:
    """Like :func:`decode_size`, for a resize: both sides have to stay large enough."""
    box = (request.height, request.width) if orientation >= 5 else (request.width, request.height)
    scale = max(box[0] / size[0], box[1] / size[1]) * _AHEAD
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))) if scale < 1 else None


def resize(picture: Picture, request: Resize, full_size: Size) -> tuple[Image.Image, bytes]:
    """The picture in the asked size, and its file. ``full_size`` as for :class:`Cascade`."""
    image = picture.image
    turned = picture.orientation >= 5
    box = (request.height, request.width) if turned else (request.width, request.height)
    crop = None
    if request.fit == "contain":
        scale = min(box[0] / full_size[0], box[1] / full_size[1], 1.0)
        box = (max(1, round(full_size[0] * scale)), max(1, round(full_size[1] * scale)))
    elif request.fit == "cover":
        crop = CropBox.get_crop_box_to_fit_dst_size(image.size, box)
    image = resized(image, box, crop)
    image = upright(image, picture.orientation)
    image = opaque(to_srgb(image, picture.profile, picture.primaries, picture.transfer))
    return image, encode(image, request.format, quality=request.quality, webp_method=2)
