"""What is judged from pixels: score and perceptual hash, by one small proxy and a few tiles of the original ones."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagesvc.processing.color import to_srgb
from imagesvc.processing.decode import Picture
from imagesvc.processing.facts import Facts
from imagesvc.processing.perceptual_hash import perceptual_hash
from imagesvc.processing.renditions import Cascade, upright
from imagesvc.processing.score import PROXY_LONG_SIDE, Box, score, tile_boxes


def judged(facts: Facts, cascade: Cascade) -> Facts:
    """The facts with score and hash; the picture has to be decoded whole, not at a fraction."""
    stored = cascade.picture.image.size
    width, height = stored[::-1] if cascade.picture.orientation >= 5 else stored
    proxy = _pixels(cascade.at(PROXY_LONG_SIDE))
    tiles = [_tile(cascade.picture, box) for box in tile_boxes(proxy, width=width, height=height)]
    found = score(proxy, width=width, height=height, tiles=tiles)
    bits = perceptual_hash(proxy)
    return facts.model_copy(
        update={"score": found.as_json(), "perceptual_hash": None if bits is None else f"{bits:016x}"}
    )


def _tile(picture: Picture, box: Box) -> NDArray[np.uint8]:
    """Native pixels of the upright picture there, in sRGB."""
    stored = stored_box(box, picture.image.size, picture.orientation)
    tile = upright(picture.image.crop(stored), picture.orientation)
    return _pixels(to_srgb(tile, picture.profile, picture.primaries, picture.transfer))


def stored_box(box: Box, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Where a box of the upright picture lies in the stored one of that size."""
    left, top, right, bottom = box
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    width, height = size
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """RGB; what is transparent is judged as it is seen on white."""
    if image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return np.asarray(image.convert("RGB"))
