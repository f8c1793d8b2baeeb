"""Regions, cells and foci of a predicted slide as GeoJSON features for QuPath.

Coordinates are level-0 pixels. Rings are closed and turn as RFC 7946 asks: exteriors have a
positive area by the shoelace formula, holes a negative one. Regions and cells are tiles, which
QuPath colours by any measurement ("Show measurement maps"); foci are annotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.reporting.focus_outline import FocusOutline, Rings
from tumor_ratio.reporting.geojson import Color, finite
from tumor_ratio.reporting.map_field import IN_WORDS, MapField
from tumor_ratio.reporting.map_paint import map_colours

SCORED: Final[tuple[str, Color]] = ("Ki-67 ratio", (33, 145, 140))
UNSCORED: Final = "No ratio"
FOCUS: Final[tuple[str, Color]] = ("Ki67-rich focus", (214, 0, 28))
LEFT_OUT: Final[Color] = (140, 140, 140)

REGION_MEASUREMENTS: Final = (
    "tumor_ratio", "tumor_ratio_calibrated", "lower", "upper", "nuclear_um2", "tissue",
)  # fmt: skip

Feature = dict[str, Any]


def region_features(regions: pd.DataFrame, slide_mpp: float) -> Iterator[Feature]:
    """A tile a region; overlapping regions overlap here, too.

    Parameters
    ----------
    regions : of one slide: region_id, x_px, y_px (level 0), size_px, mpp, reason, and those of
        `REGION_MEASUREMENTS` that there are; undefined ones are left out.
    slide_mpp : micrometres a level-0 pixel.
    """
    measured = [name for name in REGION_MEASUREMENTS if name in regions.columns]
    for row in regions.to_dict("records"):
        side_px = float(row["size_px"]) * float(row["mpp"]) / slide_mpp
        values = finite({name: row[name] for name in measured})
        square = (float(row["x_px"]), float(row["y_px"]), side_px)
        ratio = values.get("tumor_ratio_calibrated", np.nan)
        yield _tile(square, str(row["region_id"]), values, ratio, str(row["reason"] or ""))


def cell_features(field: MapField) -> Iterator[Feature]:
    """A tile a cell that has a ratio or a reason; plain glass is left out."""
    for row, column in np.argwhere(np.isfinite(field.ratio) | (field.reason != "")).tolist():
        values = finite(
            {
                "tumor_ratio_calibrated": field.ratio[row, column],
                "lower": field.lower[row, column],
                "upper": field.upper[row, column],
                "nuclear_um2": field.nuclear_um2[row, column],
                "tissue": field.tissue[row, column],
            }
        )
        square = (column * field.cell_px, row * field.cell_px, field.cell_px)
        name = f"{field.slide_id} row {row} column {column}"
        ratio = values.get("tumor_ratio_calibrated", np.nan)
        yield _tile(square, name, values, ratio, str(field.reason[row, column]))


def focus_features(foci: Iterable[FocusOutline]) -> Iterator[Feature]:
    """An annotation a focus, locked against a slip of the mouse."""
    for focus in foci:
        polygons = [_wound(polygon) for polygon in focus.polygons_px]
        single = len(polygons) == 1
        yield {
            "type": "Feature",
            "geometry": {
                "type": "Polygon" if single else "MultiPolygon",
                "coordinates": polygons[0] if single else polygons,
            },
            "properties": {
                "objectType": "annotation",
                "name": f"focus {focus.focus_id}",
                "classification": _class(*FOCUS),
                "isLocked": True,
                "measurements": finite(
                    {
                        "area_um2": focus.area_um2,
                        "equivalent_diameter_um": focus.equivalent_diameter_um,
                        "mean_ratio": focus.mean_ratio,
                        "max_ratio": focus.max_ratio,
                        "touches_excluded": focus.touches_excluded,
                        "touches_edge": focus.touches_edge,
                    }
                ),
            },
        }


def _tile(
    square_px: tuple[float, float, float],
    name: str,
    measurements: dict[str, float],
    ratio: float,
    reason: str,
) -> Feature:
    x, y, side = square_px
    corners = np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)])
    color: Sequence[int] = LEFT_OUT
    known = (f"Left out ({IN_WORDS.get(reason, reason)})" if reason else UNSCORED, LEFT_OUT)
    if np.isfinite(ratio):
        color = map_colours("ratio")[round(255 * min(max(ratio, 0.0), 1.0))].tolist()
        known = SCORED
    properties = {
        "objectType": "tile",
        "name": name,
        "color": list(color),
        "classification": _class(*known),
        "measurements": measurements,
    }
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_points(corners)]},
        "properties": properties,
    }


def _class(name: str, color: Color) -> dict[str, Any]:
    return {"name": name, "color": list(color)}


def _wound(rings: Rings) -> list[list[list[float]]]:
    """Rings of a polygon, closed and turned: the exterior's area positive, the holes' negative."""
    out = []
    for number, ring in enumerate(rings):
        points = np.asarray(ring, dtype=np.float64)
        if (points[0] != points[-1]).any():
            points = np.concatenate([points, points[:1]])
        x, y = points.T
        positive = (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
        out.append(_points(points if positive == (number == 0) else points[::-1]))
    return out


def _points(ring: NDArray[np.float64]) -> list[list[float]]:
    points: Sequence[Sequence[float]] = np.round(ring, 2).tolist()
    return [list(point) for point in points]
