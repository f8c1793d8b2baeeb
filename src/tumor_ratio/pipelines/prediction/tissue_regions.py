"""Where on a slide there is tissue to predict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, tile_grid
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.tissue import tissue_mask

OVERVIEW_MPP = 8.0
CELLS_A_SIDE = 8
"""An overview shows each region in at least so many pixels a side."""
TRACE = 0.01
"""Regions with a smaller share of tissue count as glass and are not listed."""


def tissue_regions(
    slide: Slide, size_px: int, mpp: float
) -> tuple[list[Region], NDArray[np.float64]]:
    """Non-overlapping regions that show tissue, and how much.

    Parameters
    ----------
    slide : the H&E slide.
    size_px, mpp : of the regions; the last row and column may reach beyond the slide.

    Returns
    -------
    regions : list of Region, row by row, of kind "tile".
    tissue : (N,) float64, share of each region that is tissue, in (0.01, 1].

    Raises
    ------
    SlideError
        If the slide shows no tissue, or cannot be read.
    """
    wanted = min(OVERVIEW_MPP, max(slide.mpp, size_px * mpp / CELLS_A_SIDE))
    overview, overview_mpp = slide.read_overview(wanted)
    sums = _summed(tissue_mask(overview, overview_mpp))
    corners = tile_grid(slide.width_px, slide.height_px, slide.mpp, size_px, mpp, size_px, "pad")
    regions = [Region(slide.slide_id, "", "tile", x, y, size_px, mpp) for x, y in corners]
    side = size_px * mpp / overview_mpp
    tissue = np.array(
        [_share(sums, (r.x_px, r.y_px), slide.mpp / overview_mpp, side) for r in regions]
    )
    shown = np.flatnonzero(tissue > TRACE)
    if len(shown) == 0:
        raise SlideError(slide.slide_id, "shows no tissue", "check that the scan shows the section")
    return [regions[index] for index in shown], tissue[shown]


def spread(regions: Sequence[Region], count: int) -> list[int]:
    """Numbers of at most `count` regions, evenly spread over all."""
    n = len(regions)
    return (
        sorted({math.floor((i + 0.5) * n / count) for i in range(count)})
        if n > count
        else list(range(n))
    )


def _summed(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.pad(mask, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)


def _share(sums: NDArray[np.int64], corner_px: tuple[int, int], scale: float, side: float) -> float:
    """Share of a square that is set in the mask; what lies outside the mask is not."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    left, top = min(round(corner_px[0] * scale), width), min(round(corner_px[1] * scale), height)
    right, bottom = (
        min(round(corner_px[0] * scale + side), width),
        min(round(corner_px[1] * scale + side), height),
    )
    inside = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return float(min(1.0, inside / side**2))
