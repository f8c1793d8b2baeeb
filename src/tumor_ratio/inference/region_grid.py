"""Which squares of a slide are predicted, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.regions import Region, tile_grid
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.survey import SlideSurvey, mask_shares

REASONS = ("unreadable", "pen", "folded", "blurred", "white")
"""Why tissue gets no ratio; where several would hold, the first."""
TRACE = 0.01
"""Squares with a smaller share of tissue, marks and damage count as glass and are not listed."""
MARKED = 0.25
"""Squares with a larger share of pen, of a fold or of damage are left out."""


@dataclass(frozen=True)
class RegionGrid:
    """Squares that are laid over a slide from its origin on.

    Parameters
    ----------
    size_px : side of a region, in pixels at `mpp`.
    mpp : micrometres per pixel.
    step_px : from one region to the next, at most `size_px`.
    min_tissue : regions with a smaller share of stained tissue get no ratio.
    """

    size_px: int
    mpp: float
    step_px: int
    min_tissue: float = 0.25

    def __post_init__(self) -> None:
        """Check that regions leave no gaps."""
        if not 1 <= self.step_px <= self.size_px:
            raise ValueError(
                f"the step lies between 1 px and a region's side ({self.size_px} px), "
                f"not {self.step_px}"
            )

    @property
    def size_um(self) -> float:
        """Side of a region in micrometres."""
        return self.size_px * self.mpp

    @property
    def cell_um(self) -> float:
        """Side of a cell, which is the step, in micrometres."""
        return self.step_px * self.mpp


def list_regions(slide: Slide, survey: SlideSurvey, grid: RegionGrid) -> pd.DataFrame:
    """Regions of a slide that show tissue.

    Returns
    -------
    DataFrame
        Row by row over the slide: region_id, slide_id, x_px, y_px (level 0), size_px, mpp, tissue
        (share that is stained and usable), reason (empty where a ratio is to be predicted). The
        last row and column may reach beyond the slide.
    """
    corners = tile_grid(
        slide.width_px, slide.height_px, slide.mpp, grid.size_px, grid.mpp, grid.step_px, "pad"
    )
    squares = judge_squares(
        survey, np.array(corners, dtype=np.float64), grid.size_um / slide.mpp, grid.min_tissue
    )
    shown = np.flatnonzero(squares.tissue_like > TRACE)
    regions = [
        Region(slide.slide_id, "", "tile", *corners[i], grid.size_px, grid.mpp) for i in shown
    ]
    columns: dict[str, Any] = {
        "region_id": [region.region_id for region in regions],
        "slide_id": slide.slide_id,
        "x_px": [region.x_px for region in regions],
        "y_px": [region.y_px for region in regions],
        "size_px": grid.size_px,
        "mpp": grid.mpp,
        "tissue": squares.tissue[shown],
        "reason": squares.reason[shown],
    }
    table = pd.DataFrame(columns, index=range(len(regions)))
    return table.astype({"x_px": "int64", "y_px": "int64", "reason": "str", "region_id": "str"})


@dataclass(frozen=True)
class Squares:
    """What squares of an overview show; (N,) each.

    Parameters
    ----------
    tissue : share that is stained and usable.
    tissue_like : share that is tissue, usable or not: stained, folded, under pen, or unreadable.
    reason : why there can be no ratio, empty otherwise; known before any region is read.
    """

    tissue: NDArray[np.float64]
    tissue_like: NDArray[np.float64]
    reason: NDArray[np.object_]


def judge_squares(
    survey: SlideSurvey, corners_px: NDArray[np.float64], side_px: float, min_tissue: float
) -> Squares:
    """Judge squares by the overview.

    Parameters
    ----------
    survey : of the slide.
    corners_px : (N, 2) x and y of the top-left corners, level-0 pixels.
    side_px : their side.
    min_tissue : squares with a smaller share of stained tissue are "white".
    """
    classes = survey.classes
    pen = classes.pen & classes.organ  # on glass it covers nothing
    masks = {"unreadable": survey.unreadable, "pen": pen, "folded": classes.fold}
    any_of_them = classes.stained | pen | classes.fold | survey.unreadable
    tissue, tissue_like, *marks = (
        mask_shares(mask, corners_px, side_px, survey.px)
        for mask in (classes.stained & ~classes.fold, any_of_them, *masks.values())
    )
    conditions = [*(share > MARKED for share in marks), tissue < min_tissue]
    reason = np.select(conditions, [*masks, "white"], "").astype(object)
    reason[tissue_like <= TRACE] = ""
    return Squares(tissue, tissue_like, reason)
