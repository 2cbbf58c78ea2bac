"""A 64-bit hash of what a picture shows: near-duplicates differ in few bits, different pictures in about half of them.

Each bit is the sign of one of the 64 lowest frequencies of the luma (cosine transform, in order of radius). Two things
differ from the usual pHash. A window fades the borders out: a crop takes the borders and moves what is near them most,
and a good part of the bits that it would flip are saved. And a coefficient that is next to nothing beside the others is
a firm 0 instead of a coin toss: a symmetric drawing has many of those.

Pictures with hardly anything at these frequencies (a blank page, a wall of bricks) have no hash, or all of them
would be near-duplicates of each other.
"""

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Pixels, luma

BITS = 64
_WINDOW_POWER = 0.7
# below this part of the strength of all coefficients together, one is next to nothing
_NEXT_TO_NOTHING = 0.005
# grey levels of all coefficients together; below, JPEG's rounding decides the signs
_FAINTEST = 3.0


def _lowest_frequencies() -> NDArray[np.intp]:
    """The (down, across) orders of the 64 lowest frequencies but for the mean, ties by order."""
    square = [(down, across) for down in range(BITS) for across in range(BITS) if down + across > 0]
    square.sort(key=lambda orders: (orders[0] ** 2 + orders[1] ** 2, orders))
    return np.array(square[:BITS], dtype=np.intp)


_DOWN, _ACROSS = _lowest_frequencies().T
_ORDERS = int(max(_DOWN.max(), _ACROSS.max())) + 1


def perceptual_hash(pixels: Pixels) -> int | None:
    """Of uint8 RGB pixels (height, width, 3), upright, any size: the proxy of the score serves. None where there is
    nothing to tell the picture by, or fewer pixels than frequencies."""
    height, width = pixels.shape[:2]
    if min(height, width) < _ORDERS:
        return None
    plane = luma(pixels)[0]
    (down, fade_down), (across, fade_across) = _waves(height), _waves(width)
    mean = float(fade_down @ plane @ fade_across) / float(fade_down.sum() * fade_across.sum())
    spectrum = down @ (plane - mean) @ across.T * (2 / plane.size)
    coefficients = spectrum[_DOWN, _ACROSS]
    strength = float(np.linalg.norm(coefficients))
    if strength < _FAINTEST:
        return None
    bits = np.packbits(coefficients > _NEXT_TO_NOTHING * strength)
    return int.from_bytes(bits.tobytes(), "big")


def distance(one: int, other: int) -> int:
    """In how many of the 64 bits two hashes differ."""
    return (one ^ other).bit_count()


def _waves(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The windowed cosines of each order along one side, and the window."""
    place = (np.arange(length) + 0.5) / length
    window = np.sin(np.pi * place) ** _WINDOW_POWER
    waves = np.cos(np.pi * np.outer(np.arange(_ORDERS), place)) * window
    return waves.astype(np.float32), window.astype(np.float32)
