"""Computes a 64-bit perceptual hash: near-duplicates differ in few bits, different images in about half of them.

Each bit is the sign of one of the 64 lowest frequencies of the luma (cosine transform, in order of radius). Two things
differ from the usual pHash. A window fades out the borders: a crop removes them and shifts the pixels near them most,
so the window saves many of the bits that a crop would flip. And a coefficient that is negligible beside the others is
always 0 instead of a random sign; a symmetric drawing has many of those.

Images with almost no energy at these frequencies (a blank page, a brick wall) have no hash. Otherwise all of them would
be near-duplicates of each other.
"""

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Pixels, luma

BITS = 64
_WINDOW_POWER = 0.7
# A coefficient below this share of the norm of all coefficients is negligible.
_NEGLIGIBLE_SHARE = 0.005
# Gray levels, norm of all coefficients. Below it, JPEG's rounding decides the signs.
_MIN_STRENGTH = 3.0


def _lowest_frequencies() -> NDArray[np.intp]:
    """The (down, across) orders of the 64 lowest frequencies, without the mean; ties are broken by order."""
    square = [(down, across) for down in range(BITS) for across in range(BITS) if down + across > 0]
    square.sort(key=lambda orders: (orders[0] ** 2 + orders[1] ** 2, orders))
    return np.array(square[:BITS], dtype=np.intp)


_DOWN, _ACROSS = _lowest_frequencies().T
_ORDERS = int(max(_DOWN.max(), _ACROSS.max())) + 1


def perceptual_hash(pixels: Pixels) -> int | None:
    """The hash of upright uint8 RGB pixels (height, width, 3) of any size, such as the proxy of the score.

    None for an image with too little detail, or with fewer pixels on a side than frequencies.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < _ORDERS:
        return None
    plane = luma(pixels)[0]
    (down, fade_down), (across, fade_across) = _windowed_cosines(height), _windowed_cosines(width)
    mean = float(fade_down @ plane @ fade_across) / float(fade_down.sum() * fade_across.sum())
    spectrum = down @ (plane - mean) @ across.T * (2 / plane.size)
    coefficients = spectrum[_DOWN, _ACROSS]
    strength = float(np.linalg.norm(coefficients))
    if strength < _MIN_STRENGTH:
        return None
    bits = np.packbits(coefficients > _NEGLIGIBLE_SHARE * strength)
    return int.from_bytes(bits.tobytes(), "big")


def distance(one: int, other: int) -> int:
    """Number of the 64 bits in which two hashes differ."""
    return (one ^ other).bit_count()


def _windowed_cosines(length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The windowed cosines of each order along one side, and the window itself."""
    position = (np.arange(length) + 0.5) / length
    window = np.sin(np.pi * position) ** _WINDOW_POWER
    cosines = np.cos(np.pi * np.outer(np.arange(_ORDERS), position)) * window
    return cosines.astype(np.float32), window.astype(np.float32)
