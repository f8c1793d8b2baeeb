"""Folds of a section: bands of doubled tissue, darker than both their sides in both stains.

Dense nuclei are dark by hematoxylin, muscle and blood by eosin; a fold doubles both, and along a
line. So either stain's local excess is averaged along lines in all directions, and the lesser of
the two counts.
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
    """Standard deviation of the surroundings that a pixel is compared with."""
    half_line_um: float
    least_excess: float
    """Least mean of the excess along the line, as a share of the surroundings."""


NARROW = FoldWidth(smoothing_um=4.0, around_um=40.0, half_line_um=100.0, least_excess=0.24)
WIDE = FoldWidth(smoothing_um=16.0, around_um=160.0, half_line_um=200.0, least_excess=0.40)
DIRECTIONS = 16
LEAST_EXCESS = 0.15
"""Each pixel of a fold is darker than its surroundings by this share, in both stains."""
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
    found = _bands(od_rgb, tissue, mpp, NARROW)
    step = max(1, int(0.8 * WIDE.smoothing_um / mpp))
    small_od, small_tissue = _reduced(od_rgb, step), _reduced(tissue.astype(np.float32), step) > 0.5
    wide = _bands(small_od, small_tissue, mpp * step, WIDE)
    wide = wide.repeat(step, axis=0).repeat(step, axis=1)
    padded = np.zeros_like(tissue)
    padded[: wide.shape[0], : wide.shape[1]] = wide[: tissue.shape[0], : tissue.shape[1]]
    return (found | padded) & tissue


def _bands(od: Plane, tissue: Mask, mpp: float, width: FoldWidth) -> Mask:
    red, green = od[..., 0], od[..., 1]
    stains = (red, np.maximum(green - EOSIN_RED * red, 0))
    first, second = (_excess(stain, tissue, mpp, width) for stain in stains)
    dark = (np.minimum(first, second) > LEAST_EXCESS) & tissue
    reach = max(1, round(width.half_line_um / mpp))
    seeds = _on_lines(first, second, dark, reach, DIRECTIONS, width.least_excess)
    near = ndimage.maximum_filter(seeds, size=2 * max(1, round(2 * width.smoothing_um / mpp)) + 1)
    return near & dark


def _excess(stain: Plane, tissue: Mask, mpp: float, width: FoldWidth) -> Plane:
    """Share by which a smoothed stain is over its mean in the tissue around; 0 outside tissue."""
    inside = tissue.astype(np.float32)
    own, around = (
        gaussian_blur(stain * inside, sigma_um / mpp, mode="reflect")
        for sigma_um in (width.smoothing_um, width.around_um)
    )
    share = gaussian_blur(inside, width.around_um / mpp, mode="reflect")
    mean = np.maximum(around / np.maximum(share, 0.05), FAINTEST_OD)
    return (np.clip(own / mean - 1, -1, 1.5) * inside).astype(np.float32)


def _reduced(plane: Plane, step: int) -> Plane:
    height, width = (side // step * step for side in plane.shape[:2])
    blocks = plane[:height, :width].reshape(height // step, step, width // step, step, -1)
    return np.ascontiguousarray(blocks.mean(axis=(1, 3)).squeeze(), dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def _on_lines(first, second, dark, reach, directions, least):  # type: ignore[no-untyped-def]  # compiled
    """Dark pixels in the middle of a line along which both planes' means reach `least`."""
    height, width = first.shape
    found = np.zeros((height, width), np.bool_)
    needed = least * (2 * reach + 1)
    for n in range(directions):
        angle = math.pi * n / directions
        dx, dy = math.cos(angle), math.sin(angle)
        for y in range(height):
            for x in range(width):
                if not dark[y, x] or found[y, x]:
                    continue
                one = two = 0.0
                for t in range(-reach, reach + 1):
                    i = min(max(int(y + t * dy + 0.5), 0), height - 1)
                    j = min(max(int(x + t * dx + 0.5), 0), width - 1)
                    one += first[i, j]
                    two += second[i, j]
                found[y, x] = min(one, two) >= needed
    return found
