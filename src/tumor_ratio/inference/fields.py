"""The ratio over a slide as one picture: a value for each cell of a grid without overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.region_grid import REASONS, TRACE, RegionGrid, judge_squares
from tumor_ratio.inference.survey import SlideSurvey


@dataclass(frozen=True)
class RatioField:
    """Ratios of the cells of a slide.

    Cell (r, c) spans x in [c * cell_px, (c + 1) * cell_px) and y in [r * cell_px,
    (r + 1) * cell_px), level-0 pixels.

    Parameters
    ----------
    slide_id : the slide.
    cell_um, cell_px : side of a cell in micrometres, and in level-0 pixels (may be fractional).
    ratio : (R, C) float64, calibrated, in [0, 1]; NaN where nothing could be said.
    lower, upper : (R, C) float64, its interval; NaN where withheld.
    nuclear_um2 : (R, C) float64, the cell's weight; 0 where there is no ratio.
    tissue : (R, C) float64, share of the cell that is stained tissue.
    reason : (R, C) str, empty where there is a ratio or plain glass, else one of `REASONS`.
    """

    slide_id: str
    cell_um: float
    cell_px: float
    ratio: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    nuclear_um2: NDArray[np.float64]
    tissue: NDArray[np.float64]
    reason: NDArray[np.object_]


def ratio_field(
    regions: pd.DataFrame, slide: Slide, survey: SlideSurvey, grid: RegionGrid
) -> RatioField:
    """Bring the regions of a slide onto its cells.

    Parameters
    ----------
    regions : of this slide and grid, as `predict_regions` gives them; with `lower` and `upper`
        where there are intervals.
    slide, survey, grid : what they were made of.

    Returns
    -------
    RatioField

    Notes
    -----
    A region covers a cell whose middle lies in it. A cell's ratio and bounds are the plain means
    over the regions that cover it and have a ratio; its nuclear area is the mean of their nuclear
    densities times the cell's area. Where regions do not overlap, cells are the regions. A cell
    that shows glass itself, or is marked or damaged, has no ratio whatever covers it.
    """
    cell_px = grid.cell_um / slide.mpp
    columns, rows = (
        max(1, math.ceil(extent / cell_px - 1e-6)) for extent in (slide.width_px, slide.height_px)
    )
    corners = np.array([(c * cell_px, r * cell_px) for r in range(rows) for c in range(columns)])
    squares = judge_squares(survey, corners, cell_px, grid.min_tissue)
    shape = (rows, columns)
    own = squares.reason.reshape(shape)
    glass = squares.tissue_like.reshape(shape) <= TRACE
    usable = ~glass & ((own == "") | (own == "white"))

    scored = regions[regions["tumor_ratio_calibrated"].notna()]
    density = scored["nuclear_um2"].to_numpy() / grid.size_um**2
    bounds = [
        scored[name].to_numpy() if name in scored else np.full(len(scored), np.nan)
        for name in ("lower", "upper")
    ]
    ratio, nuclear, lower, upper = (
        np.where(usable, mean, np.nan)
        for mean in cell_means(
            scored,
            [scored["tumor_ratio_calibrated"].to_numpy(), density, *bounds],
            shape,
            cell_px,
            grid.size_um / slide.mpp,
        )
    )
    has_ratio = np.isfinite(ratio)
    reason = np.where(has_ratio | glass, "", _inherited(regions, own, cell_px, grid, slide))
    return RatioField(
        slide_id=slide.slide_id,
        cell_um=grid.cell_um,
        cell_px=cell_px,
        ratio=ratio,
        lower=lower,
        upper=upper,
        nuclear_um2=np.where(has_ratio, nuclear * grid.cell_um**2, 0.0),
        tissue=squares.tissue.reshape(shape),
        reason=reason.astype(object),
    )


def cell_means(
    regions: pd.DataFrame,
    values: Sequence[NDArray[np.float64]],
    shape: tuple[int, int],
    cell_px: float,
    side_px: float,
) -> list[NDArray[np.float64]]:
    """Mean over the regions that cover each cell.

    Parameters
    ----------
    regions : N rows with x_px and y_px.
    values : (N,) float64 each.
    shape : rows and columns of cells.
    cell_px, side_px : sides of a cell and of a region, level-0 pixels.

    Returns
    -------
    list of (R, C) float64
        NaN where no region covers a cell.
    """
    rows, columns, numbers = _covered(regions, shape, cell_px, side_px)
    counts = np.zeros(shape)
    np.add.at(counts, (rows, columns), 1.0)
    means = []
    for each in values:
        sums = np.zeros(shape)
        np.add.at(sums, (rows, columns), each[numbers])
        means.append(np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0))
    return means


def _covered(
    regions: pd.DataFrame, shape: tuple[int, int], cell_px: float, side_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each covered cell, and the number of the region that covers it."""
    (top, bottom), (left, right) = (
        (_first_cell(start, cell_px), _first_cell(start + side_px, cell_px))
        for start in (regions[name].to_numpy(dtype=np.float64) for name in ("y_px", "x_px"))
    )
    most = max(1, math.ceil(side_px / cell_px) + 1)
    dy, dx = (each.ravel() for each in np.mgrid[:most, :most])
    rows, columns = top[:, None] + dy, left[:, None] + dx
    inside = (rows < np.minimum(bottom, shape[0])[:, None]) & (
        columns < np.minimum(right, shape[1])[:, None]
    )
    numbers = np.broadcast_to(np.arange(len(regions))[:, None], rows.shape)
    return rows[inside], columns[inside], numbers[inside]


def _first_cell(start_px: NDArray[np.float64], cell_px: float) -> NDArray[np.int64]:
    """Number of the first cell whose middle lies at `start_px` or behind; whole pixels may be off
    by half of one.
    """
    first: NDArray[np.int64] = np.ceil((start_px - 0.5) / cell_px - 0.5).astype(np.int64)
    return first


def _inherited(
    regions: pd.DataFrame,
    own: NDArray[np.object_],
    cell_px: float,
    grid: RegionGrid,
    slide: Slide,
) -> NDArray[np.object_]:
    """Reason of each cell: its own, else the foremost of those of the regions that cover it.

    Where regions overlap, the last row and column of cells may lie half beyond the slide, with
    their middles in no region.
    """
    left_out = regions[regions["reason"] != ""]
    rows, columns, numbers = _covered(left_out, own.shape, cell_px, grid.size_um / slide.mpp)
    rank = np.array([REASONS.index(each) for each in left_out["reason"]], dtype=np.int64)
    foremost = np.full(own.shape, len(REASONS))
    np.minimum.at(foremost, (rows, columns), rank[numbers])
    found = np.array([*REASONS, ""], dtype=object)[foremost]
    chosen: NDArray[np.object_] = np.where((own == "") | (own == "white"), found, own)
    return np.where(chosen == "", "white", chosen)
