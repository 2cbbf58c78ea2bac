"""Sharpness: the width of the strongest edges.

The steepest slope of a step edge blurred by a Gaussian of variance v is proportional to 1 / sqrt(v). Blurring it once
more with a known variance b gives v from the ratio of the slopes before and after, independently of the height of the
edge: ``v = b / (ratio² - 1)`` (after Zhuo and Sim, *Defocus map estimation from a single image*, 2011). So the result
is in pixels, is the same for faint and strong edges and for dark and bright images, and depends little on noise.

Edges are measured in four directions separately, because camera shake blurs only the edges across its movement.
"""

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Stack, Values, gradient, smooth

# The strongest edges, as a share of all pixels; a quarter of them in each direction.
_EDGE_SHARE = 0.01
# The candidates among which each direction finds its own strongest edges: first a few, which usually are enough.
_FIRST_SHARE, _CANDIDATE_SHARE = 0.03, 0.15
_MIN_EDGES = 24
_BLUR_VARIANCE = 1.0
# tan(22.5°): the boundary between the axes and the diagonals.
_AXIS_TANGENT = 0.41421356
_MAX_VARIANCE = 400.0
# Mean squared slope of white noise of variance 1, before and after the smoothing.
_NOISE_BEFORE, _NOISE_AFTER = 1.0, 0.0449


def edge_variances(stack: Stack, *, noise: float) -> tuple[NDArray[np.float64], float]:
    """Blur variance (px²) of the strongest edges in each direction that has edges, and the slope of these edges.

    ``noise`` is the standard deviation of the noise; its slopes are subtracted from those of the edges. The returned
    slope is in gray levels per pixel after one smoothing. If it is near 0, the variances are meaningless.
    """
    if min(stack.shape[1:]) < 16:
        return np.empty(0), 0.0
    sharp_x, sharp_y = gradient(stack[:, 2:-2, 2:-2])
    soft_x, soft_y = gradient(smooth(stack))
    soft = soft_x * soft_x
    soft += soft_y * soft_y

    wanted = max(int(_EDGE_SHARE / 4 * soft.size), _MIN_EDGES)
    parts = tuple(part.ravel() for part in (soft_x, soft_y, sharp_x, sharp_y))
    levels = np.quantile(soft[:, ::3, ::3], (1 - _FIRST_SHARE, 1 - _CANDIDATE_SHARE))
    for level in levels:
        directions = _directions(np.flatnonzero(soft > level), *parts)
        if all(len(after) >= wanted for _, after in directions):
            break  # more candidates would only be weaker ones

    variances, slopes = [], []
    for before, after in directions:
        a, b = before, after
        if len(b) < _MIN_EDGES:
            continue
        if len(b) > wanted:
            strongest = np.argpartition(b, len(b) - wanted)[-wanted:]
            a, b = a[strongest], b[strongest]
        # A ratio of means, not a mean of ratios: beside a thin line, single pixels have almost no slope.
        slope = max(float(b.mean()) - _NOISE_AFTER * noise**2, 1e-6)
        excess = (float(a.mean()) - _NOISE_BEFORE * noise**2) / slope - 1
        variances.append(_BLUR_VARIANCE / max(excess, _BLUR_VARIANCE / _MAX_VARIANCE))
        slopes.append(slope)
    return np.array(variances), float(np.sqrt(np.mean(slopes))) if slopes else 0.0


def _directions(
    candidates: NDArray[np.intp], soft_x: Values, soft_y: Values, sharp_x: Values, sharp_y: Values
) -> list[tuple[Values, Values]]:
    """Squared slopes before and after the smoothing, of the candidates in each direction."""
    soft_x, soft_y, sharp_x, sharp_y = (part[candidates] for part in (soft_x, soft_y, sharp_x, sharp_y))
    after = soft_x * soft_x + soft_y * soft_y
    before = sharp_x * sharp_x + sharp_y * sharp_y
    steep_x, steep_y = np.abs(soft_x), np.abs(soft_y)
    along_x, along_y = steep_y < _AXIS_TANGENT * steep_x, steep_x < _AXIS_TANGENT * steep_y
    diagonal = ~(along_x | along_y)
    rising = soft_x * soft_y > 0
    directions = (along_x, along_y, diagonal & rising, diagonal & ~rising)
    return [(before[direction], after[direction]) for direction in directions]
