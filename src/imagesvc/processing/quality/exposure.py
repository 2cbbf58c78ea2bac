"""Exposure and contrast: the level of the highlights, the clipped share and the spread of the tones.

Measured on means of 4 x 4 pixels, so that noise, fine blur and compression, which have their own measurements, do not
affect them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Pixels

_SIDE = 4
_LUMA = np.array([0.299, 0.587, 0.114])
# Ignores glints and stuck pixels.
_HIGHLIGHT_QUANTILE = 0.998
# From this share of the highlight level on, a channel counts as clipped, also if the image was darkened afterwards.
_CLIPPED_FROM = 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class ToneStatistics:
    """All values are shares of the full range, 0 to 1."""

    mean: float
    """of luma"""
    highlight: float
    """level of the brightest pixels, each by its brightest channel"""
    clipped: float
    """share of the samples of all three channels that are clipped at the highlight level"""
    spread: float
    """between the 5th and the 95th percentile of luma"""


def tone_statistics(pixels: Pixels) -> ToneStatistics:
    """Measure RGB pixels (height, width, 3)."""
    channels = _block_means(pixels, min(_SIDE, *pixels.shape[:2])) / 255
    gray = _LUMA @ channels
    brightest = channels.max(axis=0)
    highlight = float(np.quantile(brightest, _HIGHLIGHT_QUANTILE))
    dark, bright = np.quantile(gray, (0.05, 0.95))
    return ToneStatistics(
        mean=float(gray.mean()),
        highlight=highlight,
        clipped=float(np.mean(channels >= _CLIPPED_FROM * highlight)),
        spread=float(bright - dark),
    )


def _block_means(pixels: Pixels, side: int) -> NDArray[np.float64]:
    """Means of whole blocks, of shape (3, blocks). All channels are summed at once; the sums are exact."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    whole = pixels[: rows * side, : columns * side].reshape(rows, side, columns * side * 3)
    sums = whole.sum(axis=1, dtype=np.uint16).reshape(rows * columns, side * 3)
    # numpy's own sum takes three times as long along so short an axis
    per_channel = np.tile(np.eye(3, dtype=np.float32), (side, 1))
    means: NDArray[np.float64] = np.ascontiguousarray((sums.astype(np.float32) @ per_channel).T, np.float64)
    means /= side**2
    return means
