"""Measures a decoded image: score and perceptual hash, from one small proxy and a few tiles of native pixels."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.color import to_srgb
from imagesvc.processing.decode import DecodedImage
from imagesvc.processing.facts import Facts
from imagesvc.processing.perceptual_hash import perceptual_hash
from imagesvc.processing.renditions import Cascade, upright
from imagesvc.processing.score import PROXY_LONG_SIDE, Box, score, tile_boxes


def assess(facts: Facts, cascade: Cascade) -> Facts:
    """The facts with score and hash added. The image must have been decoded at its full size."""
    stored = cascade.decoded.image.size
    width, height = stored[::-1] if cascade.decoded.orientation >= 5 else stored
    proxy = _rgb_pixels(cascade.image_within(PROXY_LONG_SIDE))
    tiles = [_tile(cascade.decoded, box) for box in tile_boxes(proxy, width=width, height=height)]
    measured = score(proxy, width=width, height=height, tiles=tiles)
    bits = perceptual_hash(proxy)
    return replace(facts, score=measured.as_json(), perceptual_hash=None if bits is None else f"{bits:016x}")


def _tile(decoded: DecodedImage, box: Box) -> NDArray[np.uint8]:
    """Native sRGB pixels of a box of the upright image."""
    stored = stored_box(box, decoded.image.size, decoded.orientation)
    tile = upright(decoded.image.crop(stored), decoded.orientation)
    return _rgb_pixels(to_srgb(tile, decoded.profile, decoded.primaries, decoded.transfer))


def stored_box(box: Box, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Maps a box of the upright image to the stored image of this size."""
    left, top, right, bottom = box
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    width, height = size
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _rgb_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """RGB; transparent pixels are measured as they appear on white."""
    if image.mode == "RGBA":
        background = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(background, image)
    return np.asarray(image.convert("RGB"))
