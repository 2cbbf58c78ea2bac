"""Sharpness: how wide the strongest edges are.

A step edge blurred to a Gaussian of variance v has its steepest slope in proportion to 1 / sqrt(v). Blur it once more
with a known variance b, and the ratio of the slopes before and after tells v whatever the height of the edge:
``v = b / (ratio² - 1)`` (after Zhuo and Sim, *Defocus map estimation from a single image*, 2011). So the answer is a
length in pixels, the same for a faint and a strong edge, for a dark and a bright picture, and little moved by noise.

Edges are taken in four directions apart, because a shaken camera spoils only the edges across its movement.
"""

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Stack, gradient, smooth

# the strongest edges: this part of all pixels, a quarter in each direction
_EDGE_SHARE = 0.01
# candidates among which each direction looks for its own strongest edges
_CANDIDATE_SHARE = 0.15
_FEWEST_EDGES = 24
_BLUR_VARIANCE = 1.0
# of 22.5 degrees: where "along an axis" ends and "diagonal" begins
_TANGENT = 0.41421356
_WIDEST = 400.0
# squared slope that white noise of variance 1 has on average, before and after the smoothing
_NOISE_BEFORE, _NOISE_AFTER = 1.0, 0.0449


def edge_variances(stack: Stack, *, noise: float) -> tuple[NDArray[np.float64], float]:
    """Blur variance (px²) of the strongest edges in each direction where there are some, and their slope.

    ``noise`` is the standard deviation of the noise, which adds its own slopes to those of the edges. The slope that
    comes back is in grey levels a pixel after one smoothing: near nothing, no edge says anything about sharpness.
    """
    if min(stack.shape[1:]) < 16:
        return np.empty(0), 0.0
    sharp_x, sharp_y = gradient(stack[:, 2:-2, 2:-2])
    soft_x, soft_y = gradient(smooth(stack))
    soft = soft_x * soft_x
    soft += soft_y * soft_y

    threshold = np.quantile(soft[:, ::3, ::3], 1 - _CANDIDATE_SHARE)
    candidates = np.flatnonzero(soft > threshold)
    soft_x, soft_y, sharp_x, sharp_y = (part.ravel()[candidates] for part in (soft_x, soft_y, sharp_x, sharp_y))
    after = soft_x * soft_x + soft_y * soft_y
    before = sharp_x * sharp_x + sharp_y * sharp_y
    steep_x, steep_y = np.abs(soft_x), np.abs(soft_y)
    along_x, along_y = steep_y < _TANGENT * steep_x, steep_x < _TANGENT * steep_y
    diagonal = ~(along_x | along_y)
    rising = soft_x * soft_y > 0

    wanted = max(int(_EDGE_SHARE / 4 * soft.size), _FEWEST_EDGES)
    variances, slopes = [], []
    for direction in (along_x, along_y, diagonal & rising, diagonal & ~rising):
        a, b = before[direction], after[direction]
        if len(b) < _FEWEST_EDGES:
            continue
        if len(b) > wanted:
            strongest = np.argpartition(b, len(b) - wanted)[-wanted:]
            a, b = a[strongest], b[strongest]
        # one ratio of sums, not a middle of ratios: beside a thin line single pixels have next to no slope
        slope = max(float(b.mean()) - _NOISE_AFTER * noise**2, 1e-6)
        excess = (float(a.mean()) - _NOISE_BEFORE * noise**2) / slope - 1
        variances.append(_BLUR_VARIANCE / max(excess, _BLUR_VARIANCE / _WIDEST))
        slopes.append(slope)
    return np.array(variances), float(np.sqrt(np.mean(slopes))) if slopes else 0.0
