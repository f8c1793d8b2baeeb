"""Star-convex polygons as a label image, drawn by compiled code."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

CORE_SHARE = 0.6
"""A pixel lies in a polygon's core when it is nearer to its centre than this share of the way to
the outline: the inner third of the area."""


def draw_stars(
    centers: NDArray[np.number], radii: NDArray[np.floating], shape: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Draw polygons, the last first: where two overlap the earlier one wins.

    Parameters
    ----------
    centers : (N, 2) row and column; whole numbers are the middles of pixels.
    radii : (N, R) from there to the vertices, at equal angles from 0 (along the row) on, towards
        growing rows; R at least 3.
    shape : of the image.

    Returns
    -------
    labels : (H, W) int32, 0 or the polygon's index + 1.
    core : (H, W) bool, whether the pixel lies in its polygon's core.
    """
    labels = np.zeros(shape, dtype=np.int32)
    core = np.zeros(shape, dtype=np.bool_)
    _draw(
        np.ascontiguousarray(centers, dtype=np.float64),
        np.ascontiguousarray(radii, dtype=np.float64),
        labels,
        core,
    )
    return labels, core


@numba.njit(cache=True)
def _draw(
    centers: NDArray[np.float64],
    radii: NDArray[np.float64],
    labels: NDArray[np.int32],
    core: NDArray[np.bool_],
) -> None:
    n_polygons, n_rays = radii.shape
    height, width = labels.shape
    step = 2 * np.pi / n_rays
    for index in range(n_polygons - 1, -1, -1):
        row, column = centers[index]
        reach = radii[index].max()
        for y in range(max(0, int(np.ceil(row - reach))), min(height, int(row + reach) + 1)):
            for x in range(
                max(0, int(np.ceil(column - reach))), min(width, int(column + reach) + 1)
            ):
                dy, dx = y - row, x - column
                distance = np.sqrt(dy * dy + dx * dx)
                if distance > reach:
                    continue
                angle = np.arctan2(dy, dx)
                if angle < 0:
                    angle += 2 * np.pi
                ray = min(int(angle / step), n_rays - 1)
                past = angle - ray * step
                first, second = radii[index, ray], radii[index, (ray + 1) % n_rays]
                # The straight edge between two vertices, in polar coordinates.
                across = first * np.sin(past) + second * np.sin(step - past)
                border = first * second * np.sin(step) / across if across > 0 else 0.0
                if distance <= border:
                    labels[y, x] = index + 1
                    core[y, x] = distance <= CORE_SHARE * border
