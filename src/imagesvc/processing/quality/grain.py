"""Noise: the standard deviation, in grey levels, of what is left in the calmest blocks once all that is smooth is gone.

The mask (1 -2 1) x (1 -2 1) answers nothing to a plane, a ramp or a straight edge along an axis, and six times its
standard deviation to white noise (Immerkær, *Fast noise variance estimation*, 1996). Its mean answer over a whole
picture would measure texture; that over the calmest tenth of its blocks measures the noise that lies on everything.
"""

import numpy as np

from imagesvc.processing.quality.planes import Stack, block_means

_CALMEST = 0.10
# blocks this dark or bright are clipped, and clipping hides noise
_DARKEST, _BRIGHTEST = 8.0, 247.0
_FEWEST_BLOCKS = 16
# mean |x| of a normal distribution is sqrt(2 / pi) of its standard deviation; the mask's gain is 6
_TO_DEVIATION = float(np.sqrt(np.pi / 2) / 6)


def noise_level(stack: Stack) -> float:
    """Grey levels; 0 where no block is free of clipping."""
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
