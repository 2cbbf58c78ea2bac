"""Luma planes, and the small filters that the measurements share.

A stack is ``float32`` of shape (planes, height, width) in gray levels 0 to 255: one plane for a whole small image, or
one plane per native tile of a large one. Measurements pool over tiles as they do over rows.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]
Stack: TypeAlias = NDArray[np.float32]
Values: TypeAlias = NDArray[np.float32]

# BT.601 is the luma that JPEG quantizes, so its coefficients are found on their quantization steps.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_BINOMIAL = np.array([1, 4, 6], dtype=np.float32) / 16


def luma(pixels: Pixels) -> Stack:
    """BT.601 luma of RGB pixels, unrounded: (height, width, 3) becomes a stack of one, (n, h, w, 3) one of n."""
    plane: Stack = (pixels if pixels.ndim == 4 else pixels[np.newaxis]).astype(np.float32) @ _LUMA
    return plane


def smooth(stack: Stack) -> Stack:
    """Convolve with the binomial 1 4 6 4 1 along both axes (variance 1 px²). Two pixels are lost on each border."""
    rows: Stack = _BINOMIAL[0] * (stack[..., :-4] + stack[..., 4:])
    rows += _BINOMIAL[1] * (stack[..., 1:-3] + stack[..., 3:-1])
    rows += _BINOMIAL[2] * stack[..., 2:-2]
    both: Stack = _BINOMIAL[0] * (rows[..., :-4, :] + rows[..., 4:, :])
    both += _BINOMIAL[1] * (rows[..., 1:-3, :] + rows[..., 3:-1, :])
    both += _BINOMIAL[2] * rows[..., 2:-2, :]
    return both


def gradient(stack: Stack) -> tuple[Stack, Stack]:
    """Central differences along x and y, in gray levels per pixel. One pixel is lost on each border."""
    along_x = stack[..., 1:-1, 2:] - stack[..., 1:-1, :-2]
    along_y = stack[..., 2:, 1:-1] - stack[..., :-2, 1:-1]
    along_x *= 0.5
    along_y *= 0.5
    return along_x, along_y


def halved(stack: Stack) -> Stack:
    """Means of 2 x 2 pixels, without an odd last row or column."""
    height, width = stack.shape[1] // 2 * 2, stack.shape[2] // 2 * 2
    rows: Stack = stack[:, 0:height:2, :width] + stack[:, 1:height:2, :width]
    both: Stack = rows[..., 0::2] + rows[..., 1::2]
    both *= np.float32(0.25)
    return both


def block_means(stack: Stack, side: int = 8) -> Values:
    """Means of whole ``side`` x ``side`` blocks from the top left corner of each plane, flattened."""
    planes, height, width = stack.shape
    rows, columns = height // side, width // side
    whole = stack[:, : rows * side, : columns * side].reshape(planes, rows, side, columns * side)
    sums = whole.sum(axis=2).reshape(planes, rows, columns, side).sum(axis=3)
    means: Values = sums.ravel() / np.float32(side * side)
    return means
