"""Folds of a section: bands of doubled tissue, darker than both their sides in both stains.

Dense nuclei are dark by hematoxylin, muscle and blood by eosin; a fold doubles both, and along a
line. So both stains are averaged along lines in all directions and compared with the tissue on
either side; the stain and the side that speak least for a fold decide.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tumor_ratio.imaging.gaussian import gaussian_blur

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]


class FoldWidth(NamedTuple):
    """How folds of about one width are looked for, in micrometres."""

    smoothing_um: float
    around_um: float
    """Standard deviation of the surroundings that a single pixel is compared with."""
    aside_um: float
    """Distance of the two lines beside a fold."""
    half_line_um: float
    least_excess: float
    """Least excess of the line over the darker of the two beside it, as a share."""


NARROW = FoldWidth(4.0, 40.0, 24.0, 100.0, least_excess=0.30)
WIDE = FoldWidth(16.0, 160.0, 90.0, 200.0, least_excess=0.40)
"""About 10 to 35 um, and 30 to 120 um."""
DIRECTIONS = 16
LEAST_EXCESS = 0.15
"""Each pixel of a fold is darker than its surroundings by this share, in both stains."""
LEAST_OF_SLIDE = 1.0
"""Each pixel has so many times the slide's median of both stains."""
LEAST_TISSUE = 0.9
"""Share of the lines beside a fold that must show tissue: an edge proves nothing."""
SMALLEST_UM2 = 600.0
MOST_UNEQUAL = 1.4
"""A fold doubles both stains; where one grows by this factor more, another tissue begins."""
EOSIN_RED = 1.1
"""Hematoxylin absorbs green by at most this factor over red; what is over it is eosin."""
FAINTEST_OD = 0.03


def fold_mask(od_rgb: Plane, tissue: Mask, mpp: float) -> Mask:
    """Pixels of folds.

    Parameters
    ----------
    od_rgb : (H, W, 3) float32, decadic density above the slide's glass.
    tissue : (H, W) bool
    mpp : micrometres per pixel; over 8 narrow folds (under 30 um) fade.

    Returns
    -------
    (H, W) bool, inside `tissue`.
    """
    red, green = od_rgb[..., 0], od_rgb[..., 1]
    inside = tissue.astype(np.float32)
    stains = [red * inside, np.maximum(green - EOSIN_RED * red, 0) * inside]
    narrow = _bands(stains, inside, mpp, NARROW)
    step = max(1, int(WIDE.smoothing_um / 2 / mpp))
    small = [block_means(plane, step) for plane in (*stains, inside)]
    wide = _bands(small[:2], small[2], mpp * step, WIDE)
    return (narrow | enlarged(wide, step, tissue.shape)) & tissue


def _bands(stains: list[Plane], inside: Plane, mpp: float, width: FoldWidth) -> Mask:
    if not (inside > 0.5).any():
        return np.zeros(inside.shape, dtype=bool)
    share = np.maximum(_surroundings(inside, mpp, width), 0.05)
    dark = inside > 0.5
    smooth = []
    for stain in stains:
        own = gaussian_blur(stain, width.smoothing_um / mpp, mode="reflect")
        around = np.maximum(_surroundings(stain, mpp, width) / share, FAINTEST_OD)
        dark &= own > (1 + LEAST_EXCESS) * around
        dark &= own > LEAST_OF_SLIDE * np.median(own[inside > 0.5])
        smooth.append(own)
    seeds = _on_lines(
        smooth[0],
        smooth[1],
        inside,
        dark,
        max(1, round(width.half_line_um / mpp)),
        width.aside_um / mpp,
        1 + width.least_excess,
    )
    near = ndimage.maximum_filter(seeds, size=2 * max(1, round(2 * width.smoothing_um / mpp)) + 1)
    parts, _ = ndimage.label(near & dark)
    large = np.bincount(parts.ravel()) * mpp**2 >= SMALLEST_UM2
    large[0] = False
    return large[parts]


def _surroundings(plane: Plane, mpp: float, width: FoldWidth) -> Plane:
    """A wide blur, on coarser pixels."""
    step = max(1, int(width.around_um / 4 / mpp))
    small = block_means(plane, step)
    blur = gaussian_blur(small, width.around_um / (mpp * step), mode="reflect")
    return enlarged(blur, step, plane.shape)


def block_means(plane: Plane, step: int) -> Plane:
    """Means of blocks; the last ones are filled up with their own border."""
    if step == 1:
        return plane
    missing = [(0, -side % step) for side in plane.shape]
    padded = np.pad(plane, missing, mode="edge")
    height, width = (side // step for side in padded.shape)
    return padded.reshape(height, step, width, step).mean(axis=(1, 3), dtype=np.float32)


def enlarged(plane: NDArray, step: int, shape: tuple[int, ...]) -> NDArray:
    return plane.repeat(step, axis=0).repeat(step, axis=1)[: shape[0], : shape[1]]


@numba.njit(cache=True, nogil=True)
def _on_lines(first, second, inside, dark, reach, aside, factor):  # type: ignore[no-untyped-def]  # compiled
    """Dark pixels on a line that is darker by `factor` than both lines beside it; (H, W) bool."""
    height, width = first.shape
    found = np.zeros((height, width), np.bool_)
    sums, ratios = np.empty((3, 3)), np.empty(2)
    length = 2 * reach + 1
    for y in range(height):
        for x in range(width):
            if not dark[y, x]:
                continue
            for n in range(DIRECTIONS):
                angle = math.pi * n / DIRECTIONS
                dx, dy = math.cos(angle), math.sin(angle)
                sums[:] = 0
                for side in range(3):
                    y0, x0 = y + (side - 1) * aside * dx, x - (side - 1) * aside * dy
                    for t in range(-reach, reach + 1):
                        i, j = int(y0 + t * dy + 0.5), int(x0 + t * dx + 0.5)
                        if 0 <= i < height and 0 <= j < width:
                            sums[side, 0] += first[i, j]
                            sums[side, 1] += second[i, j]
                            sums[side, 2] += inside[i, j]
                if min(sums[0, 2], sums[2, 2]) < LEAST_TISSUE * length or sums[1, 2] <= 0:
                    continue
                for stain in range(2):
                    beside = max(sums[0, stain] / sums[0, 2], sums[2, stain] / sums[2, 2])
                    ratios[stain] = sums[1, stain] / sums[1, 2] / max(beside, 1e-6)
                least, most = min(ratios[0], ratios[1]), max(ratios[0], ratios[1])
                if least > factor and most < MOST_UNEQUAL * least:
                    found[y, x] = True
                    break
    return found
