"""A first look at a whole slide: where there is tissue, and where it cannot be used."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.readers import RgbImage
from tumor_ratio.imaging.slide import OVERVIEW_PX, Slide
from tumor_ratio.imaging.tissue_classes import OVERVIEW_MPP, TissueClasses, tissue_classes

CELLS_A_SIDE = 8
"""An overview shows each region in at least so many pixels a side."""
SMALLEST_PIECE_PX = 8
"""Around damage an overview is read in smaller and smaller pieces, down to this side."""
MOST_UNREADABLE = 0.5
_ROUNDING = 1e-6


@dataclass(frozen=True)
class SlideSurvey:
    """A slide's overview and what it shows.

    Parameters
    ----------
    slide_id : the slide.
    rgb : (H, W, 3) uint8, origin at the slide's; white where it cannot be read.
    mpp : micrometres per pixel of the overview.
    px : level-0 pixels that one of the overview spans.
    classes : (H, W) masks of the overview.
    unreadable : (H, W) bool, True where the file is damaged.
    """

    slide_id: str
    rgb: RgbImage
    mpp: float
    px: float
    classes: TissueClasses
    unreadable: NDArray[np.bool_]


def survey_slide(slide: Slide, cell_um: float) -> SlideSurvey:
    """Look at a whole slide.

    Parameters
    ----------
    slide : the slide.
    cell_um : side of the squares that are to be judged by the overview.

    Raises
    ------
    SlideError
        If the slide shows no tissue, or most of it cannot be read.
    """
    wanted = min(OVERVIEW_MPP, max(slide.mpp, cell_um / CELLS_A_SIDE))
    rgb, mpp, unreadable = _overview(slide, wanted)
    classes = tissue_classes(rgb, mpp)
    if not classes.stained.any():
        raise SlideError(slide.slide_id, "shows no tissue", "check that the scan shows the section")
    return SlideSurvey(slide.slide_id, rgb, mpp, mpp / slide.mpp, classes, unreadable)


def mask_shares(
    mask: NDArray[np.bool_], corners_px: NDArray[np.float64], side_px: float, mask_px: float
) -> NDArray[np.float64]:
    """Share of squares that is set in a mask.

    Parameters
    ----------
    mask : (H, W) bool, origin at the slide's.
    corners_px : (N, 2) x and y of the squares' top-left corners, level-0 pixels.
    side_px : their side.
    mask_px : level-0 pixels that one of the mask spans.

    Returns
    -------
    (N,) float64 in [0, 1]
        What lies outside the mask counts as not set. Of pixels on a square's border counts the part
        that lies inside.
    """
    sums = np.pad(mask, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def left_above(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area that is set left of x and above y, in the mask's pixels."""
        (column, right), (row, down) = (
            _whole_and_rest(each, side) for each, side in ((x, mask.shape[1]), (y, mask.shape[0]))
        )
        next_column, next_row = column + (right > 0), row + (down > 0)
        above = (1 - right) * sums[row, column] + right * sums[row, next_column]
        below = (1 - right) * sums[next_row, column] + right * sums[next_row, next_column]
        return (1 - down) * above + down * below

    (x0, y0), (x1, y1) = (corners_px.T / mask_px, (corners_px.T + side_px) / mask_px)
    inside = left_above(x1, y1) - left_above(x0, y1) - left_above(x1, y0) + left_above(x0, y0)
    shares: NDArray[np.float64] = np.clip(inside / (side_px / mask_px) ** 2, 0.0, 1.0)
    return shares


def _whole_and_rest(
    places: NDArray[np.float64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Whole part and rest of places, cut to [0, most]; what is whole up to rounding has no rest."""
    near = np.rint(places)
    exact = np.where(np.abs(places - near) < _ROUNDING, near, places).clip(0, most)
    whole = np.floor(exact)
    return whole.astype(np.int64), exact - whole


def _overview(slide: Slide, wanted_mpp: float) -> tuple[RgbImage, float, NDArray[np.bool_]]:
    try:
        rgb, mpp = slide.read_overview(wanted_mpp)
    except SlideError as error:
        return _overview_around_damage(slide, wanted_mpp, error)
    return rgb, mpp, np.zeros(rgb.shape[:2], dtype=bool)


def _overview_around_damage(
    slide: Slide, wanted_mpp: float, error: SlideError
) -> tuple[RgbImage, float, NDArray[np.bool_]]:
    """Read the overview piece by piece; pieces that cannot be read are quartered."""
    mpp = max(wanted_mpp, math.sqrt(slide.width_um * slide.height_um / OVERVIEW_PX))
    width, height = (
        max(1, math.ceil(side_um / mpp - 1e-6)) for side_um in (slide.width_um, slide.height_um)
    )
    rgb = np.full((height, width, 3), 255, dtype=np.uint8)
    unreadable = np.zeros((height, width), dtype=bool)
    scale = mpp / slide.mpp
    pieces = [(0, 0, width, height)]
    while pieces:
        x, y, w, h = pieces.pop()
        try:
            rgb[y : y + h, x : x + w] = slide.read(x * scale, y * scale, (w, h), mpp)
        except SlideError:
            if max(w, h) <= SMALLEST_PIECE_PX:
                unreadable[y : y + h, x : x + w] = True
                continue
            half_w, half_h = -(-w // 2), -(-h // 2)
            pieces += [
                (x + dx, y + dy, min(half_w, w - dx), min(half_h, h - dy))
                for dy in range(0, h, half_h)
                for dx in range(0, w, half_w)
            ]
        if unreadable.mean() > MOST_UNREADABLE:
            raise error
    return rgb, mpp, unreadable
