"""Noise: its standard deviation, in gray levels, from the high-pass residue of the smoothest blocks.

The mask (1 -2 1) x (1 -2 1) gives zero for a plane, a ramp or a straight edge along an axis, and six times the standard
deviation for white noise (Immerkær, *Fast noise variance estimation*, 1996). Its mean response over a whole image would
measure texture. The response of the smoothest tenth of the blocks measures the noise that the whole image has.

If everything is texture (grass, gravel), even the smoothest blocks contain some. But texture is equally strong at half
the size, while white noise is half as strong there, so the responses at both sizes separate the two.
"""

import math

import numpy as np

from imagesvc.processing.quality.luma import Stack, block_means, halved

_SMOOTHEST_SHARE = 0.10
# Blocks whose mean is outside this range are clipped, and clipping hides noise.
_MIN_MEAN, _MAX_MEAN = 8.0, 247.0
_MIN_BLOCKS = 16
# The mean |x| of a normal distribution is sqrt(2 / pi) of its standard deviation; the mask's gain is 6.
_TO_DEVIATION = float(np.sqrt(np.pi / 2) / 6)
# Variance of a texture, relative to that of the same texture at half the size.
_TEXTURE_RATIO = 0.3
# Lower bound of the share of the variance that counts as noise, however much of it looks like texture.
_MIN_NOISE_SHARE = 1 / 16


def noise_level(stack: Stack) -> float:
    """Standard deviation in gray levels; 0 if too few blocks are free of clipping."""
    full, half = _deviation(stack), _deviation(halved(stack))
    # full² = noise² + ratio * texture², half² = noise² / 4 + texture²
    noise_variance = (full**2 - _TEXTURE_RATIO * half**2) / (1 - _TEXTURE_RATIO / 4)
    return math.sqrt(max(noise_variance, _MIN_NOISE_SHARE * full**2))


def _deviation(stack: Stack) -> float:
    """Standard deviation of the white noise that would give the same response in the smoothest blocks."""
    if min(stack.shape[1:]) < 10:
        return 0.0
    across = stack[..., :-2] + stack[..., 2:]
    across -= 2 * stack[..., 1:-1]
    response = across[:, :-2] + across[:, 2:]
    response -= 2 * across[:, 1:-1]
    means = block_means(stack[:, 1:-1, 1:-1])
    unclipped = (means > _MIN_MEAN) & (means < _MAX_MEAN)
    if np.count_nonzero(unclipped) < _MIN_BLOCKS:
        return 0.0
    deviations = block_means(np.abs(response))[unclipped]
    # Smooth blocks are clipped first, so the share is one of all blocks, not of the unclipped ones.
    return float(np.quantile(deviations, _SMOOTHEST_SHARE * len(deviations) / len(unclipped))) * _TO_DEVIATION
