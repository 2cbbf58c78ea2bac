"""Compression: what JPEG leaves behind on its grid of 8 x 8 blocks.

Two witnesses. *Steps*: every coefficient of a block was rounded to a multiple of a step, and the transform of the
decoded luma shows the multiples again, so the step can be read off, whatever the picture shows. It needs the exact grid
and unchanged pixels, and is at its best from medium to heavy compression. *Jumps*: the luma jumps a little more between
blocks than inside them. That is blunter, but sees light compression, and survives another mild re-encoding.

The grid's place is not known (a crop, a rotation): it is tried where the jumps are, along x and y apart, and at the two
edges that it can start from in a picture that was turned but not cropped.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Stack

_SIDE = 8
# a jump this high is an edge of the picture: more of it says nothing about the grid
_HIGHEST_JUMP = 12.0

# coefficients (down, across) with their step at quality 50 of the standard luma table (ITU-T T.81, table K.1)
_COEFFICIENTS = {(0, 0): 16, (0, 1): 11, (1, 0): 12, (1, 1): 12, (0, 2): 10, (2, 0): 14}
# this many blocks show a step as well as all of them
_MOST_BLOCKS = 2400
_LONGEST_STEP = 255
_STEPS = np.arange(2, _LONGEST_STEP + 1)
_BINS_A_UNIT = 2
_BINS = np.arange(1024 * _BINS_A_UNIT + 1)
# coefficients below this part of a step were rounded to zero and say nothing about it
_ZEROED = 0.35
# a step has to show in this many of the others, with this mean cosine of their phase or, where they are few, with this
# many standard deviations of what chance gives
_FEWEST_COEFFICIENTS = 24
_AGREEMENT = 0.3
_DEVIATIONS = 3.5
_FIRST_BINS = np.ceil(_ZEROED * _STEPS * _BINS_A_UNIT).astype(np.intp)


def _phases() -> NDArray[np.float32]:
    """For each step and histogram bin: cosine of the bin's phase in that step, 0 where the step rounds to zero."""
    cosines = np.cos(2 * np.pi * _BINS / _BINS_A_UNIT / _STEPS[:, np.newaxis])
    cosines[_FIRST_BINS[:, np.newaxis] > _BINS] = 0
    return cosines.astype(np.float32)


def _transform_rows() -> NDArray[np.float32]:
    """The three lowest rows of the orthonormal 8-point DCT-II."""
    place = (2 * np.arange(_SIDE) + 1) * np.pi / (2 * _SIDE)
    rows = [np.cos(order * place) * np.sqrt((1 if order == 0 else 2) / _SIDE) for order in range(3)]
    return np.array(rows, dtype=np.float32)


_PHASES = _phases()
_ROWS = _transform_rows()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """0 and 0 where nothing was compressed in blocks."""

    step: float
    """in units of the standard table at quality 50: 0.2 is quality 90, 1 is 50, 5 is 10"""
    jump: float
    """grey levels by which neighbours differ more across the grid than within it"""


def blocks(stack: Stack, *, width: int, height: int) -> Blocks:
    """Of planes cut from a picture of ``width`` x ``height`` at multiples of 8, so that they share one grid."""
    if min(stack.shape[1:]) < 3 * _SIDE:
        return Blocks(step=0.0, jump=0.0)
    across, down = _jumps(stack), _jumps(stack.transpose(0, 2, 1))
    lefts = {0, width % _SIDE, int(across.argmax())}
    tops = {0, height % _SIDE, int(down.argmax())}
    step = max(_step(stack[:, top:, left:]) for top, left in product(tops, lefts))
    # both directions have to jump: stripes that repeat every 8 pixels are no compression
    jump = np.sqrt(_excess(across) * _excess(down))
    return Blocks(step=step, jump=float(jump))


def _jumps(stack: Stack) -> NDArray[np.float32]:
    """By offset of the grid along the last axis: how much more neighbours differ there than a pixel further."""
    steps = np.abs(np.diff(stack, axis=2))
    np.minimum(steps, _HIGHEST_JUMP, out=steps)
    columns = steps.mean(axis=(0, 1))
    extra = columns[1:-1] - (columns[:-2] + columns[2:]) / 2
    # extra[i] is the jump between the columns i + 1 and i + 2, so a block that begins at column 0 shows at i = 6
    whole = len(extra) // _SIDE * _SIDE
    return np.roll(extra[:whole].reshape(-1, _SIDE).mean(axis=0), 2)


def _excess(jumps: NDArray[np.float32]) -> float:
    highest, second = np.sort(jumps)[[-1, -2]]
    return float(max(highest - max(second, 0.0), 0.0))


def _step(stack: Stack) -> float:
    """Median over the coefficients of the longest step that they agree on, relative to the standard table."""
    planes, height, width = stack.shape
    rows, columns = height // _SIDE, width // _SIDE
    whole = stack[:, : rows * _SIDE, : columns * _SIDE].reshape(planes, rows, _SIDE, columns * _SIDE)
    every = -(-planes * rows * columns // _MOST_BLOCKS)
    some = whole[:, ::every].reshape(-1, _SIDE) - 128
    across = (some @ _ROWS.T).reshape(-1, _SIDE, columns, len(_ROWS))
    found = []
    for (down_order, across_order), standard in _COEFFICIENTS.items():
        coefficients = np.tensordot(_ROWS[down_order], across[..., across_order], axes=(0, 1))
        found.append(_longest_step(coefficients.ravel()) / standard)
    return float(np.median(found))


def _longest_step(coefficients: NDArray[np.float32]) -> int:
    """0 where the coefficients agree on none. A step's divisors agree as well as the step itself: hence the longest."""
    bins = np.minimum(np.rint(np.abs(coefficients) * _BINS_A_UNIT).astype(np.intp), len(_BINS) - 1)
    histogram = np.bincount(bins, minlength=len(_BINS)).astype(np.float32)
    kept = np.cumsum(histogram[::-1])[::-1][_FIRST_BINS]
    agreement = (_PHASES @ histogram) / np.maximum(kept, 1)
    by_chance = _DEVIATIONS * np.sqrt(0.5 / np.maximum(kept, 1))
    agreed = np.flatnonzero((kept >= _FEWEST_COEFFICIENTS) & (agreement > np.maximum(_AGREEMENT, by_chance)))
    if not len(agreed):
        return 0
    peak = int(agreed[-1])
    while peak > 0 and agreement[peak - 1] > agreement[peak]:
        peak -= 1
    return int(_STEPS[peak])
