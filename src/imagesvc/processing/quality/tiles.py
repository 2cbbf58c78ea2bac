"""Where to cut native-resolution tiles from a picture that is larger than its proxy.

Reducing a picture hides what its pixels suffered: grain averages out, an edge four pixels wide becomes one, JPEG's grid
is gone. So edges, grain and blocks are also measured on a few tiles of the original pixels: the busiest ones for its
edges, the calmest ones for its grain. Tiles begin at multiples of 8 and so share JPEG's grid.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagesvc.processing.quality.luma import Pixels, gradient, luma

TILE_SIDE = 128
_BUSIEST, _CALMEST = 4, 4
_GRID = 8
# a tile this dark or bright on average is clipped in good part, and shows neither edges nor grain
_DARKEST, _BRIGHTEST = 16.0, 239.0
# squared slope from which one edge counts no more than another, or a single outline would win over a whole texture
_STEEPEST = 400.0


class Box(NamedTuple):
    """In pixels of the original, in the orientation of the proxy; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def tile_boxes(proxy: Pixels, *, width: int, height: int) -> tuple[Box, ...]:
    """Where to cut from a picture of ``width`` x ``height`` of which ``proxy`` is the reduction.

    Empty when the picture is not larger than the proxy (the proxy has its pixels already) or has no room for the tiles.
    """
    proxy_height, proxy_width = proxy.shape[:2]
    columns, rows = width // TILE_SIDE, height // TILE_SIDE
    if (width <= proxy_width and height <= proxy_height) or columns * rows < _BUSIEST + _CALMEST:
        return ()
    plane = luma(proxy)
    along_x, along_y = gradient(plane)
    energy = np.zeros((proxy_height, proxy_width), dtype=np.float32)
    energy[1:-1, 1:-1] = np.minimum(along_x[0] * along_x[0] + along_y[0] * along_y[0], _STEEPEST)

    # tiles stand centred in the picture, as near as the grid of 8 allows, so that a turned picture gives the same ones
    left = _snapped((width - columns * TILE_SIDE) // 2)
    top = _snapped((height - rows * TILE_SIDE) // 2)
    x_edges = np.rint((left + TILE_SIDE * np.arange(columns + 1)) * proxy_width / width).astype(np.intp)
    y_edges = np.rint((top + TILE_SIDE * np.arange(rows + 1)) * proxy_height / height).astype(np.intp)
    busy = _tile_means(energy, y_edges, x_edges)
    brightness = _tile_means(plane[0], y_edges, x_edges)

    clear = (brightness > _DARKEST) & (brightness < _BRIGHTEST)
    calm_first = np.argsort(np.where(clear, busy, np.inf), axis=None, kind="stable")
    calm_first = calm_first[: max(int(np.count_nonzero(clear)), _BUSIEST + _CALMEST)]
    chosen = np.concatenate([calm_first[:_CALMEST], calm_first[-_BUSIEST:]])
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
