"""A Ki-67-rich focus as files and pages show it: its outline on the slide, its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Rings = Sequence[NDArray[np.float64]]
"""(N, 2) x and y each, closed: the exterior, then the holes."""

CLOSE_UP_MARGIN: Final = 0.25
"""Around a focus, as a share of its longer side."""


@dataclass(frozen=True)
class FocusOutline:
    """One focus.

    Parameters
    ----------
    focus_id : its number on the slide.
    polygons_px : its parts in level-0 pixels; parts that meet at a corner alone are separate.
    area_um2, equivalent_diameter_um : of its cells, and of the disc of that area.
    mean_ratio, max_ratio : over its cells, on the scale that foci are found on.
    touches_excluded : it borders on tissue that could not be scored, and may go on there.
    touches_edge : it reaches the scan's edge.
    """

    focus_id: int
    polygons_px: Sequence[Rings]
    area_um2: float
    equivalent_diameter_um: float
    mean_ratio: float
    max_ratio: float
    touches_excluded: bool
    touches_edge: bool

    @property
    def bounds_px(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in level-0 pixels."""
        points = np.concatenate([polygon[0] for polygon in self.polygons_px])
        left, top = points.min(axis=0).tolist()
        right, bottom = points.max(axis=0).tolist()
        return left, top, right, bottom


def focus_outlines(records: Sequence[Mapping[str, Any]]) -> list[FocusOutline]:
    """Foci of a slide's summary, the largest first.

    Parameters
    ----------
    records : one a focus, with the names of `FocusOutline`'s numbers, and `polygons`: rings of
        [x, y] in level-0 pixels as in a GeoJSON MultiPolygon.

    Raises
    ------
    KeyError
        If a record lacks a name.
    """
    found = [
        FocusOutline(
            focus_id=int(record["focus_id"]),
            polygons_px=[
                [np.asarray(ring, dtype=np.float64) for ring in polygon]
                for polygon in record["polygons"]
            ],
            area_um2=float(record["area_um2"]),
            equivalent_diameter_um=float(record["equivalent_diameter_um"]),
            mean_ratio=float(record["mean_ratio"]),
            max_ratio=float(record["max_ratio"]),
            touches_excluded=bool(record["touches_excluded"]),
            touches_edge=bool(record["touches_edge"]),
        )
        for record in records
    ]
    return sorted(found, key=lambda focus: (-focus.area_um2, focus.focus_id))


def close_up_window(focus: FocusOutline) -> tuple[float, float, float]:
    """Square around a focus for a close-up: x and y of its corner, its side, in level-0 pixels."""
    left, top, right, bottom = focus.bounds_px
    side = max(right - left, bottom - top) * (1 + 2 * CLOSE_UP_MARGIN)
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def close_up_rings(focus: FocusOutline, shown_px: int) -> list[NDArray[np.float64]]:
    """The outline on a close-up of `shown_px` pixels a side, (N, 2) each."""
    x_px, y_px, side = close_up_window(focus)
    rings = [ring for polygon in focus.polygons_px for ring in polygon]
    return [(ring - (x_px, y_px)) * (shown_px / side) for ring in rings]
