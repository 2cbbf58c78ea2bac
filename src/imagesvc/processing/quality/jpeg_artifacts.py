"""Compression: the artifacts that JPEG leaves on its grid of 8 x 8 blocks.

Two measurements. *Step*: JPEG rounds every coefficient of a block to a multiple of a quantization step, and the
transform of the decoded luma shows these multiples again, so the step can be measured independently of the content.
This needs the exact grid and unchanged pixels, and works best for medium to heavy compression. *Jump*: the luma differs
a little more between blocks than inside them. This is less precise, but it detects light compression and survives
another mild re-encoding.

The position of the grid is unknown after a crop or a rotation. It is tried where the jumps are largest, along x and y
separately, and at the two edges where it can start in an image that was turned but not cropped.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Stack

_SIDE = 8
# Cap of a difference: a larger one is an edge of the content, and says nothing about the grid.
_MAX_JUMP = 12.0

# Coefficients (down, across) with their step at quality 50 of the standard luma table (ITU-T T.81, table K.1).
_COEFFICIENTS = {(0, 0): 16, (0, 1): 11, (1, 0): 12, (1, 1): 12, (0, 2): 10, (2, 0): 14}
# A sample of this many blocks is enough.
_MAX_BLOCKS = 2400
_MAX_STEP = 255
_STEPS = np.arange(2, _MAX_STEP + 1)
_BINS_PER_UNIT = 2
_BINS = np.arange(1024 * _BINS_PER_UNIT + 1)
# Coefficients below this share of a step were rounded to zero, and carry no information about it.
_ZEROED_SHARE = 0.35
# A step is accepted if this many other coefficients agree with this mean cosine of their phase or, where they are few,
# by this many standard deviations of the agreement by chance.
_MIN_COEFFICIENTS = 24
_MIN_AGREEMENT = 0.3
_MIN_DEVIATIONS = 3.5
_FIRST_BINS = np.ceil(_ZEROED_SHARE * _STEPS * _BINS_PER_UNIT).astype(np.intp)


def _phases() -> NDArray[np.float32]:
    """For each step and histogram bin: cosine of the phase of the bin in that step, 0 where the step rounds to zero."""
    cosines = np.cos(2 * np.pi * _BINS / _BINS_PER_UNIT / _STEPS[:, np.newaxis])
    cosines[_FIRST_BINS[:, np.newaxis] > _BINS] = 0
    return cosines.astype(np.float32)


def _transform_rows() -> NDArray[np.float32]:
    """The three lowest rows of the orthonormal 8-point DCT-II."""
    positions = (2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE)
    rows = [np.cos(order * positions) * np.sqrt((1 if order == 0 else 2) / _SIDE) for order in range(3)]
    return np.array(rows, dtype=np.float32)


_PHASES = _phases()
_ROWS = _transform_rows()


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegArtifacts:
    """Both are 0 for an image that was never compressed in blocks."""

    step: float
    """in units of the standard table at quality 50: 0.2 is quality 90, 1 is 50, 5 is 10"""
    jump: float
    """gray levels by which neighboring pixels differ more across the grid than within a block"""


def jpeg_artifacts(stack: Stack, *, width: int, height: int) -> JpegArtifacts:
    """Measure planes cut from an image of ``width`` x ``height`` at multiples of 8, so that they share one grid."""
    if min(stack.shape[1:]) < 3 * _SIDE:
        return JpegArtifacts(step=0.0, jump=0.0)
    across, down = _jumps(stack), _jumps(stack.transpose(0, 2, 1))
    lefts = {0, width % _SIDE, int(across.argmax())}
    tops = {0, height % _SIDE, int(down.argmax())}
    step = max(_step(stack[:, top:, left:]) for top, left in product(tops, lefts))
    # Both directions must have jumps: stripes that repeat every 8 pixels are not compression.
    jump = np.sqrt(_excess(across) * _excess(down))
    return JpegArtifacts(step=step, jump=float(jump))


def _jumps(stack: Stack) -> NDArray[np.float32]:
    """For each offset of the grid along the last axis: how much more neighbors differ there than one pixel further."""
    differences = np.abs(np.diff(stack, axis=2))
    np.minimum(differences, _MAX_JUMP, out=differences)
    columns = differences.mean(axis=(0, 1))
    extra = columns[1:-1] - (columns[:-2] + columns[2:]) / 2
    # extra[i] is the jump between the columns i + 1 and i + 2, so a grid that starts at column 0 appears at i = 6.
    whole = len(extra) // _SIDE * _SIDE
    return np.roll(extra[:whole].reshape(-1, _SIDE).mean(axis=0), 2)


def _excess(jumps: NDArray[np.float32]) -> float:
    highest, second = np.sort(jumps)[[-1, -2]]
    return float(max(highest - max(second, 0.0), 0.0))


def _step(stack: Stack) -> float:
    """Median over the coefficients of the largest step that fits them, relative to the standard table."""
    planes, height, width = stack.shape
    rows, columns = height // _SIDE, width // _SIDE
    whole = stack[:, : rows * _SIDE, : columns * _SIDE].reshape(planes, rows, _SIDE, columns * _SIDE)
    stride = -(-planes * rows * columns // _MAX_BLOCKS)
    sample = whole[:, ::stride].reshape(-1, _SIDE) - 128
    across = (sample @ _ROWS.T).reshape(-1, _SIDE, columns, len(_ROWS))
    steps = []
    for (down_order, across_order), standard in _COEFFICIENTS.items():
        coefficients = np.tensordot(_ROWS[down_order], across[..., across_order], axes=(0, 1))
        steps.append(_largest_step(coefficients.ravel()) / standard)
    return float(np.median(steps))


def _largest_step(coefficients: NDArray[np.float32]) -> int:
    """0 if no step fits. The divisors of a step fit as well as the step itself, hence the largest."""
    bins = np.minimum(np.rint(np.abs(coefficients) * _BINS_PER_UNIT).astype(np.intp), len(_BINS) - 1)
    histogram = np.bincount(bins, minlength=len(_BINS)).astype(np.float32)
    kept = np.cumsum(histogram[::-1])[::-1][_FIRST_BINS]
    agreement = (_PHASES @ histogram) / np.maximum(kept, 1)
    by_chance = _MIN_DEVIATIONS * np.sqrt(0.5 / np.maximum(kept, 1))
    agreed = np.flatnonzero((kept >= _MIN_COEFFICIENTS) & (agreement > np.maximum(_MIN_AGREEMENT, by_chance)))
    if not len(agreed):
        return 0
    peak = int(agreed[-1])
    while peak > 0 and agreement[peak - 1] > agreement[peak]:
        peak -= 1
    return int(_STEPS[peak])
