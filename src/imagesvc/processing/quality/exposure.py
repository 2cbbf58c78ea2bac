"""Exposure and contrast: where the highlights end, how much is clipped, how far the tones are spread.

From means of 4 x 4 pixels: grain, fine blur and compression, which have measures of their own, leave these alone.
"""

from dataclasses import dataclass

import numpy as np

from imagesvc.processing.quality.luma import Pixels, block_means

_SIDE = 4
_LUMA = np.array([0.299, 0.587, 0.114])
# but for glints and stuck pixels
_HIGHLIGHT = 0.998
# within this of the highlights' end a channel is flat: what was brighter is lost, also when it was darkened afterwards
_FLAT = 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Tones:
    """All in parts of the full range, 0 to 1."""

    mean: float
    """of luma"""
    highlight: float
    """where the brightest of the three channels ends"""
    clipped: float
    """share of samples of all three channels that lie flat at the highlights' end"""
    spread: float
    """between the 5th and the 95th percentile of luma"""


def tones(pixels: Pixels) -> Tones:
    """Of RGB pixels (height, width, 3)."""
    side = min(_SIDE, *pixels.shape[:2])
    channels = np.stack([block_means(pixels[np.newaxis, ..., channel], side) for channel in range(3)]) / 255
    grey = _LUMA @ channels
    brightest = channels.max(axis=0)
    highlight = float(np.quantile(brightest, _HIGHLIGHT))
    dark, bright = np.quantile(grey, (0.05, 0.95))
    return Tones(
        mean=float(grey.mean()),
        highlight=highlight,
        clipped=float(np.mean(channels >= _FLAT * highlight)),
        spread=float(bright - dark),
    )
