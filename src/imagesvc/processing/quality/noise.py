"""Noise: the standard deviation, in grey levels, of what is left in the calmest blocks once all that is smooth is gone.

The mask (1 -2 1) x (1 -2 1) answers nothing to a plane, a ramp or a straight edge along an axis, and six times its
standard deviation to white noise (Immerkær, *Fast noise variance estimation*, 1996). Its mean answer over a whole
picture would measure texture; that over the calmest tenth of its blocks measures the noise that lies on everything.

Where all is texture (grass, gravel), even the calmest blocks are. But texture is as strong at half the size, while
white noise is half as strong there: the two answers together tell one from the other.
"""

import math

import numpy as np

from imagesvc.processing.quality.luma import Stack, block_means, halved

_CALMEST = 0.10
# blocks this dark or bright are clipped, and clipping hides noise
_DARKEST, _BRIGHTEST = 8.0, 247.0
_FEWEST_BLOCKS = 16
# mean |x| of a normal distribution is sqrt(2 / pi) of its standard deviation; the mask's gain is 6
_TO_DEVIATION = float(np.sqrt(np.pi / 2) / 6)
# variance of texture, relative to that of the same texture at half the size
_FINER_TEXTURE = 0.3
# however much of the answer looks like texture, this part of its variance is noise
_LEAST_NOISE = 1 / 16


def noise_level(stack: Stack) -> float:
    """Grey levels; 0 where no block is free of clipping."""
    full, half = _answer(stack), _answer(halved(stack))
    # full² = noise² + finer * texture², half² = noise² / 4 + texture²
    apart = (full**2 - _FINER_TEXTURE * half**2) / (1 - _FINER_TEXTURE / 4)
    return math.sqrt(max(apart, _LEAST_NOISE * full**2))


def _answer(stack: Stack) -> float:
    """Standard deviation of white noise that the calmest blocks would be as rough with."""
    if min(stack.shape[1:]) < 10:
        return 0.0
    across = stack[..., :-2] + stack[..., 2:]
    across -= 2 * stack[..., 1:-1]
    answer = across[:, :-2] + across[:, 2:]
    answer -= 2 * across[:, 1:-1]
    brightness = block_means(stack[:, 1:-1, 1:-1])
    clear = (brightness > _DARKEST) & (brightness < _BRIGHTEST)
    if np.count_nonzero(clear) < _FEWEST_BLOCKS:
        return 0.0
    deviations = block_means(np.abs(answer))[clear]
    # the calm blocks are the first to be clipped: a tenth of all blocks, then, not of those that are left
    return float(np.quantile(deviations, _CALMEST * len(deviations) / len(clear))) * _TO_DEVIATION
