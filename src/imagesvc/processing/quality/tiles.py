"""Chooses where to cut native-resolution tiles from an image that is larger than its proxy.

Reducing an image hides the defects of its pixels: noise averages out, an edge of four pixels becomes one of one pixel,
and JPEG's grid disappears. So sharpness, noise and JPEG artifacts are also measured on a few tiles of the original
pixels: the tiles with the most detail for edges, those with the least for noise. Tiles start at multiples of 8, so they
share JPEG's grid.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Pixels, gradient, luma

TILE_SIDE = 128
_DETAILED_TILES, _SMOOTH_TILES = 4, 4
_GRID = 8
# A tile whose mean is outside this range is largely clipped, and shows neither edges nor noise.
_MIN_MEAN, _MAX_MEAN = 16.0, 239.0
# Cap of the squared slope; without it, a single strong outline would outweigh a whole texture.
_MAX_SQUARED_SLOPE = 400.0


class Box(NamedTuple):
    """In pixels of the original, in the orientation of the proxy. Right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def tile_boxes(proxy: Pixels, *, width: int, height: int) -> tuple[Box, ...]:
    """Where to cut tiles from an image of ``width`` x ``height`` whose reduction is ``proxy``.

    Empty if the image is not larger than the proxy, which then has its native pixels, or is too small for the tiles.
    """
    proxy_height, proxy_width = proxy.shape[:2]
    columns, rows = width // TILE_SIDE, height // TILE_SIDE
    if (width <= proxy_width and height <= proxy_height) or columns * rows < _DETAILED_TILES + _SMOOTH_TILES:
        return ()
    plane = luma(proxy)
    along_x, along_y = gradient(plane)
    energy = np.zeros((proxy_height, proxy_width), dtype=np.float32)
    energy[1:-1, 1:-1] = np.minimum(along_x[0] * along_x[0] + along_y[0] * along_y[0], _MAX_SQUARED_SLOPE)

    # Tiles are centered in the image as far as the grid of 8 allows, so that a turned image gives the same tiles.
    left = _snapped((width - columns * TILE_SIDE) // 2)
    top = _snapped((height - rows * TILE_SIDE) // 2)
    x_edges = np.rint((left + TILE_SIDE * np.arange(columns + 1)) * proxy_width / width).astype(np.intp)
    y_edges = np.rint((top + TILE_SIDE * np.arange(rows + 1)) * proxy_height / height).astype(np.intp)
    detail = _tile_means(energy, y_edges, x_edges)
    brightness = _tile_means(plane[0], y_edges, x_edges)

    unclipped = (brightness > _MIN_MEAN) & (brightness < _MAX_MEAN)
    smoothest_first = np.argsort(np.where(unclipped, detail, np.inf), axis=None, kind="stable")
    smoothest_first = smoothest_first[: max(int(np.count_nonzero(unclipped)), _DETAILED_TILES + _SMOOTH_TILES)]
    chosen = np.concatenate([smoothest_first[:_SMOOTH_TILES], smoothest_first[-_DETAILED_TILES:]])
    boxes = []
    for index in chosen:
        row, column = divmod(int(index), columns)
        x, y = left + column * TILE_SIDE, top + row * TILE_SIDE
        boxes.append(Box(x, y, x + TILE_SIDE, y + TILE_SIDE))
    return tuple(boxes)


def _snapped(offset: int) -> int:
    return offset // _GRID * _GRID


def _tile_means(
    plane: NDArray[np.float32], y_edges: NDArray[np.intp], x_edges: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Means of the rectangles between the edges."""
    within = plane[: y_edges[-1], : x_edges[-1]]
    rows: NDArray[np.float32] = np.add.reduceat(within, y_edges[:-1], axis=0)
    sums: NDArray[np.float32] = np.add.reduceat(rows, x_edges[:-1], axis=1)
    areas = np.outer(np.diff(y_edges), np.diff(x_edges)).astype(np.float32)
    means: NDArray[np.float32] = sums / areas
    return means
