"""What maps of a slide are drawn of: ratios on a grid of cells, whoever computed them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

MapKind = Literal["ratio", "width"]

NO_INTERVAL: Final = "no interval"
"""Reason of a cell that has a ratio and no interval, on the map of intervals."""

OTHER: Final = "other"
"""Look of any reason that the list below does not know."""

REASONS: Final = ("white", "blurred", "folded", "pen", "unreadable", NO_INTERVAL, OTHER)

IN_WORDS: Final = {
    "white": "too little tissue",
    "blurred": "blurred",
    "folded": "folded",
    "pen": "pen",
    "unreadable": "cannot be read",
    NO_INTERVAL: "interval withheld",
    OTHER: "left out",
}
"""What a reader is told of a reason."""


class MapField(Protocol):
    """Cells of one slide, of (R, C) each; cell (r, c) spans level-0 pixels from
    (c, r) * `cell_px` to (c + 1, r + 1) * `cell_px`.
    """

    @property
    def slide_id(self) -> str:
        """The slide's name in the cohort."""

    @property
    def cell_um(self) -> float:
        """Side of a cell."""

    @property
    def cell_px(self) -> float:
        """Side of a cell in level-0 pixels; may be fractional."""

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Calibrated ratio in [0, 1]; NaN where nothing could be said."""

    @property
    def lower(self) -> NDArray[np.float64]:
        """Lower bound; NaN where withheld."""

    @property
    def upper(self) -> NDArray[np.float64]:
        """Upper bound; NaN where withheld."""

    @property
    def nuclear_um2(self) -> NDArray[np.float64]:
        """Nuclear area; 0 where none."""

    @property
    def tissue(self) -> NDArray[np.float64]:
        """Share of the cell that is stained tissue."""

    @property
    def reason(self) -> NDArray[np.object_]:
        """Why there is no ratio; empty where there is one, and on plain glass."""


class Shown(NamedTuple):
    """What a map shows in each cell.

    Parameters
    ----------
    value : (R, C) float64, NaN where there is nothing to show.
    reason : (R, C) str objects, of `REASONS`; empty where there is a value, and on glass.
    """

    value: NDArray[np.float64]
    reason: NDArray[np.object_]


def shown(field: MapField, kind: MapKind) -> Shown:
    """The ratio, or the interval's width, and why a cell has none.

    A cell without value and without reason is glass.
    """
    value = field.ratio if kind == "ratio" else field.upper - field.lower
    reason = np.where(np.isfinite(field.ratio), "", field.reason.astype(str))
    if kind == "width":
        reason = np.where(np.isfinite(field.ratio) & ~np.isfinite(value), NO_INTERVAL, reason)
    known = np.isin(reason, ("", *REASONS))
    return Shown(np.asarray(value, np.float64), np.where(known, reason, OTHER).astype(object))
