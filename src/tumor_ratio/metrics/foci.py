"""Ki-67-rich area and foci of one section, on a grid of cells that do not overlap.

A cell is rich where its ratio is at least tau. This says where many nuclei proliferate, and not
where tumor is. Truth and prediction go through the same functions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tumor_ratio.metrics.focus_outlines import outline_cells as outline_cells

FEWEST_CELLS = 4
"""A focus has at least so many cells, whatever the user's smallest area."""
MIN_OVERLAP = 0.25
"""Two foci of four cells, one a cell beside the other in both directions, still share this much."""
DIAMETER_EDGES_UM = (100.0, 200.0, 500.0)
CURVE_TAUS = tuple(round(0.01 * step, 2) for step in range(101))

_EIGHT = np.ones((3, 3), dtype=bool)
_COLUMNS = {
    "focus_id": "int64",
    "n_cells": "int64",
    "n_without_ratio": "int64",
    "area_um2": "float64",
    "equivalent_diameter_um": "float64",
    "x_cells": "float64",
    "y_cells": "float64",
    "mean_ratio": "float64",
    "max_ratio": "float64",
    "touches_excluded": "bool",
    "touches_edge": "bool",
}


@dataclass(frozen=True)
class Foci:
    """Foci of one section.

    Parameters
    ----------
    labels : (R, C) int32, the focus of each cell, 0 for none; numbered from 1, row by row.
    table : a row a focus. `focus_id`; `n_cells`; `n_without_ratio`, those of them that were filled
        and have no ratio; `area_um2` of all its cells; `equivalent_diameter_um` of the disc of that
        area; `x_cells, y_cells`, the centroid (the middle of cell (r, c) is c + 0.5, r + 0.5);
        `mean_ratio`, `max_ratio` over the cells that have one; `touches_excluded`: it borders on an
        excluded cell, or on a gap that stayed open because of one, so that it may go on there;
        `touches_edge`: it reaches the grid's edge and may go on beyond the scan.
    n_excluded : excluded cells of the grid.
    n_without_ratio : further cells that have no ratio: glass, or no nuclei.
    """

    labels: NDArray[np.int32]
    table: pd.DataFrame
    n_excluded: int
    n_without_ratio: int


def find_foci(
    ratio: ArrayLike,
    excluded: ArrayLike,
    tau: float,
    cell_um: float,
    min_area_um2: float = 0.0,
    merge_um: float = 0.0,
) -> Foci:
    """Find the foci of a section.

    Parameters
    ----------
    ratio : (R, C) float in [0, 1]; NaN where nothing could be said: never rich.
    excluded : (R, C) bool, tissue that could not be scored: never rich, whatever its ratio.
    tau : a cell is rich from this ratio on.
    cell_um : side of a cell.
    min_area_um2 : smallest focus; at least four cells in any case.
    merge_um : gaps of whole cells up to this wide are closed.

    Returns
    -------
    Foci

    Raises
    ------
    ValueError
        If the arrays differ in shape, or a number is outside its range.

    Notes
    -----
    In this order: rich cells; gaps closed; holes filled; cells that share a side or a corner make
    one focus; foci that are too small removed.

    Gaps are closed by a square, so a gap counts by its width along rows or columns. A gap that
    holds an excluded cell stays open as a whole: nobody knows whether two foci meet there, and both
    are flagged. A hole is what the focus encloses and the grid's edge does not reach. It is filled
    but for its excluded cells: no focus ever holds one.
    """
    values, barred = _grids(ratio, excluded)
    _check_range(tau, cell_um)
    if not (min_area_um2 >= 0 and merge_um >= 0):
        raise ValueError(f"min_area_um2 {min_area_um2} and merge_um {merge_um} must be 0 or more")
    rich = (values >= tau) & ~barred  # NaN compares false
    closed, left_open = _without_gaps(rich, barred, int(merge_um / cell_um + 1e-9))
    filled = ndimage.binary_fill_holes(closed) & ~barred
    labels, _ = ndimage.label(filled, _EIGHT)
    sizes = np.bincount(labels.ravel())
    large = (sizes >= FEWEST_CELLS) & (sizes * cell_um**2 >= min_area_um2 * (1 - 1e-9))
    # What an excluded ring inside a hole encloses is no focus of its own.
    kept = large & (np.bincount(labels[rich], minlength=len(sizes)) > 0)
    kept[0] = False
    labels = (np.cumsum(kept) * kept)[labels].astype(np.int32)
    return Foci(
        labels=labels,
        table=_table(labels, values, barred | left_open, cell_um),
        n_excluded=int(barred.sum()),
        n_without_ratio=int((np.isnan(values) & ~barred).sum()),
    )


def smallest_detectable_um(cell_um: float, min_area_um2: float = 0.0) -> float:
    """Diameter of the disc that has the smallest focus' area: nothing smaller is ever reported.

    With four cells this is 2.26 times their side. A rich disc covers four whole cells wherever it
    lies only from 3 sqrt(2) = 4.24 times the side on; between the two it depends on its place.

    Parameters
    ----------
    cell_um, min_area_um2 : as in `find_foci`.
    """
    return _diameter(max(min_area_um2, FEWEST_CELLS * cell_um**2))


def rich_area(ratio: ArrayLike, tissue: ArrayLike, tau: float, cell_um: float) -> float:
    """Area of stained tissue in rich cells, um2: the sum of tissue share times the cell's area.

    Foci do not matter here: single cells count, gaps and holes do not.

    Parameters
    ----------
    ratio : (R, C) float; cells with NaN are left out.
    tissue : (R, C) float in [0, 1], share of the cell that is stained tissue.
    tau, cell_um : as in `find_foci`.

    Returns
    -------
    float
        NaN where no cell has a ratio.

    Raises
    ------
    ValueError
        If the arrays differ in shape, or a number is outside its range.
    """
    _check_range(tau, cell_um)
    return float(rich_area_curve(ratio, tissue, cell_um, [tau])["rich_um2"].iloc[0])


def rich_area_curve(
    ratio: ArrayLike, tissue: ArrayLike, cell_um: float, taus: Sequence[float] = CURVE_TAUS
) -> pd.DataFrame:
    """`rich_area` over tau.

    Returns
    -------
    DataFrame
        tau, rich_um2: never rising with tau; NaN where no cell has a ratio.
    """
    values, share = np.asarray(ratio, np.float64), np.asarray(tissue, np.float64)
    if values.shape != share.shape:
        raise ValueError(f"ratio {values.shape} and tissue {share.shape} differ in shape")
    scored = np.isfinite(values)
    values, share = values[scored], share[scored]
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError("a scored cell's share of tissue must lie in [0, 1]")
    order = np.argsort(values)
    above = np.append(np.cumsum(share[order][::-1])[::-1], 0.0)
    first = np.searchsorted(values[order], np.asarray(taus, np.float64), side="left")
    area = above[first] * cell_um**2 if len(values) else np.full(len(taus), math.nan)
    return pd.DataFrame({"tau": np.asarray(taus, np.float64), "rich_um2": area})


def lesion_scores(
    predicted: Foci,
    truth: Foci,
    edges_um: Sequence[float] = DIAMETER_EDGES_UM,
    *,
    min_overlap: float = MIN_OVERLAP,
) -> pd.DataFrame:
    """Precision and recall of foci, by diameter.

    A true focus is found where predicted foci together hold at least `min_overlap` of its cells; a
    predicted focus is right where true foci hold as much of its own. So one predicted blob over the
    whole section finds everything and is wrong. True foci in excluded tissue count as missed.

    Parameters
    ----------
    predicted, truth : on the same grid, by the same rule.
    edges_um : ascending equivalent diameters between the bins; the first bin begins at 0, the last
        has no end.
    min_overlap : in (0, 1].

    Returns
    -------
    DataFrame
        A row a bin [from_um, to_um), then one over all: from_um, to_um, n_truth, n_found, recall
        (bins of the true diameter), n_predicted, n_right, precision (bins of the predicted one).
        A share of nothing is NaN.

    Raises
    ------
    ValueError
        If the grids differ, or a number is outside its range.
    """
    if predicted.labels.shape != truth.labels.shape:
        raise ValueError(
            f"predicted {predicted.labels.shape} and true foci {truth.labels.shape} "
            "lie on different grids"
        )
    if not 0 < min_overlap <= 1:
        raise ValueError(f"min_overlap must lie in (0, 1], not {min_overlap}")
    edges = np.array([0.0, *edges_um, math.inf])
    if not (np.diff(edges) > 0).all():
        raise ValueError(f"edges_um must ascend from above 0, not {list(edges_um)}")
    found = _shared(truth.labels, predicted.labels > 0) >= min_overlap
    right = _shared(predicted.labels, truth.labels > 0) >= min_overlap
    bins = [*itertools.pairwise(edges), (0.0, math.inf)]
    return pd.DataFrame(
        [
            {
                "from_um": low,
                "to_um": high,
                **_share_of(truth, found, low, high, ("n_truth", "n_found", "recall")),
                **_share_of(predicted, right, low, high, ("n_predicted", "n_right", "precision")),
            }
            for low, high in bins
        ]
    )


def _grids(ratio: ArrayLike, excluded: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, barred = np.asarray(ratio, np.float64), np.asarray(excluded, np.bool_)
    if values.ndim != 2 or values.shape != barred.shape:
        raise ValueError(f"expected two (R, C) grids, got {values.shape} and {barred.shape}")
    return values, barred


def _check_range(tau: float, cell_um: float) -> None:
    if not 0 < tau <= 1:
        raise ValueError(f"tau must lie in (0, 1], not {tau}")
    if not (cell_um > 0 and math.isfinite(cell_um)):
        raise ValueError(f"cell_um must be positive, not {cell_um}")


def _without_gaps(
    rich: NDArray[np.bool_], barred: NDArray[np.bool_], gap: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rich cells with gaps of up to `gap` cells closed; gaps left open for an excluded cell.

    Closing by a square of gap + 1 cells: what stays is covered by such squares without a rich cell.
    """
    if gap == 0 or not rich.any():
        return rich, np.zeros_like(rich)
    square = np.ones((gap + 1, gap + 1), dtype=bool)
    margin = gap + 1  # beyond the grid there is no rich cell
    closed = ndimage.binary_closing(np.pad(rich, margin), square)
    closed = closed[margin:-margin, margin:-margin]
    gaps, count = ndimage.label(closed & ~rich)
    holds_barred = np.zeros(count + 1, dtype=bool)
    holds_barred[np.unique(gaps[barred])] = True
    holds_barred[0] = False
    left_open = holds_barred[gaps]
    return closed & ~left_open, left_open


def _table(
    labels: NDArray[np.int32],
    ratio: NDArray[np.float64],
    unknown: NDArray[np.bool_],
    cell_um: float,
) -> pd.DataFrame:
    rows = []
    inner = np.zeros(labels.shape, dtype=bool)
    inner[1:-1, 1:-1] = True
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        around = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in window)
        own = labels[around] == number
        values = ratio[around][own]
        values = values[np.isfinite(values)]
        y, x = np.nonzero(own)
        area_um2 = len(x) * cell_um**2
        rows.append(
            {
                "focus_id": number,
                "n_cells": len(x),
                "n_without_ratio": len(x) - len(values),
                "area_um2": area_um2,
                "equivalent_diameter_um": _diameter(area_um2),
                "x_cells": around[1].start + x.mean() + 0.5,
                "y_cells": around[0].start + y.mean() + 0.5,
                "mean_ratio": values.mean(),
                "max_ratio": values.max(),
                "touches_excluded": bool(
                    (ndimage.binary_dilation(own, _EIGHT) & unknown[around]).any()
                ),
                "touches_edge": bool((own & ~inner[around]).any()),
            }
        )
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _diameter(area_um2: float) -> float:
    return 2 * math.sqrt(area_um2 / math.pi)


def _shared(labels: NDArray[np.int32], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each focus' cells that are set in `other`; (number of foci,)."""
    cells = np.bincount(labels.ravel())[1:]
    return np.bincount(labels.ravel(), other.ravel(), len(cells) + 1)[1:] / cells


def _share_of(
    foci: Foci, hit: NDArray[np.bool_], low: float, high: float, names: tuple[str, str, str]
) -> dict[str, float]:
    diameter = foci.table["equivalent_diameter_um"].to_numpy()
    inside = (diameter >= low) & (diameter < high)
    count, hits = int(inside.sum()), int(hit[inside].sum())
    return {names[0]: count, names[1]: hits, names[2]: hits / count if count else math.nan}
