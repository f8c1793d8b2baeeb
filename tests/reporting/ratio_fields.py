"""A planted field of ratios for the tests of maps, files and pages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PlantedField:
    slide_id: str
    cell_um: float
    cell_px: float
    ratio: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    nuclear_um2: NDArray[np.float64]
    tissue: NDArray[np.float64]
    reason: NDArray[np.object_]


def planted(rows: int = 6, columns: int = 8, cell_px: float = 224.5) -> PlantedField:
    """Glass in the first column, reasons in the first row, ratios elsewhere; no interval last."""
    ratio = np.random.default_rng(0).uniform(0, 1, (rows, columns))
    reason = np.full((rows, columns), "", dtype=object)
    reason[0, 1:7] = ["white", "blurred", "folded", "pen", "unreadable", "of another kind"]
    ratio[:, 0] = np.nan
    ratio[0, 1:7] = np.nan
    lower, upper = ratio * 0.5, ratio * 0.5 + 0.3
    lower[-1, -1] = upper[-1, -1] = np.nan
    return PlantedField(
        slide_id="mouse 7",
        cell_um=cell_px * 0.25,
        cell_px=cell_px,
        ratio=ratio,
        lower=lower,
        upper=upper,
        nuclear_um2=np.where(np.isnan(ratio), 0.0, 300.0),
        tissue=np.where(np.isnan(ratio), 0.0, 0.9),
        reason=reason,
    )


def without_ratios(field: PlantedField) -> PlantedField:
    nothing = np.full_like(field.ratio, np.nan)
    return replace(field, ratio=nothing, lower=nothing, upper=nothing)
