"""How one slide's translation agrees with its H&E slide and with the neighbouring section."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.agreement import spearman
from tumor_ratio.metrics.nuclei_matching import match_nuclei
from tumor_ratio.metrics.ratios import region_sums
from tumor_ratio.metrics.stain_agreement import evenly_spread, soft_dice

FloatArray = NDArray[np.float64]
AVERAGED = (
    "mask_dice",
    "mask_dice_even",
    "dab_spearman",
    "dab_od_virtual",
    "dab_od_measured",
    "nuclei_recall",
    "nuclei_precision",
    "nuclei_f1",
)


def score_slide(
    slide_id: str,
    cells: pd.DataFrame,
    tiles: pd.DataFrame,
    he_nuclei: pd.DataFrame,
    ihc_nuclei: pd.DataFrame,
    virtual_nuclei: pd.DataFrame,
    ratios: pd.DataFrame,
    *,
    frame_mpp: float,
    within_um: float,
) -> dict[str, Any]:
    """One row of `schemas.TranslationScores`.

    Parameters
    ----------
    slide_id : goes into the row.
    cells : `schemas.Regions`, the grid on which amounts are compared.
    tiles : `schemas.Regions`, where nuclei are compared.
    he_nuclei, ihc_nuclei, virtual_nuclei : `schemas.Nuclei`.
    ratios : `tumor_ratio` and `tumor_ratio_virtual` of the slide's labelled regions.
    frame_mpp : micrometres per level-0 pixel.
    within_um : greatest distance of two centroids of one nucleus.
    """
    virtual, real = (_amounts(cells, table, frame_mpp) for table in (virtual_nuclei, ihc_nuclei))
    match = match_nuclei(
        *(_inside_um(tiles, table, frame_mpp) for table in (he_nuclei, virtual_nuclei)),
        within_um=within_um,
    )
    even = evenly_spread(real["positive_um2"], virtual["nuclei_um2"])
    return {
        "slide_id": slide_id,
        "n_regions": len(ratios),
        "n_undefined": int(ratios["tumor_ratio_virtual"].isna().sum()),
        "n_cells": len(cells),
        "spearman": spearman(ratios["tumor_ratio_virtual"], ratios["tumor_ratio"]),
        "ratio_virtual": _share(virtual["positive_um2"], virtual["nuclei_um2"]),
        "ratio_measured": _share(real["positive_um2"], real["nuclei_um2"]),
        "mask_dice": soft_dice(virtual["positive_um2"], real["positive_um2"]),
        "mask_dice_even": soft_dice(even, real["positive_um2"]),
        "dab_od_virtual": _share(virtual["dab"], virtual["nuclei_um2"]),
        "dab_od_measured": _share(real["dab"], real["nuclei_um2"]),
        "dab_spearman": spearman(virtual["dab"], real["dab"]),
        "nuclei_he": match.n_first,
        "nuclei_virtual": match.n_second,
        "nuclei_recall": match.recall,
        "nuclei_precision": match.precision,
        "nuclei_f1": match.f1,
    }


def mean_scores(table: pd.DataFrame, ratios: pd.DataFrame) -> dict[str, float]:
    """Means over the slides for MLflow, and the rank correlation over all regions.

    Parameters
    ----------
    table : `schemas.TranslationScores`.
    ratios : `tumor_ratio` and `tumor_ratio_virtual` of all their labelled regions.

    Returns
    -------
    dict
        `translation_<score>`; undefined ones are left out.
    """
    found = {f"translation_{name}": float(table[name].mean()) for name in AVERAGED}
    found["translation_spearman"] = spearman(ratios["tumor_ratio_virtual"], ratios["tumor_ratio"])
    found["translation_spearman_within_slides"] = float(table["spearman"].mean())
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _amounts(cells: pd.DataFrame, nuclei: pd.DataFrame, frame_mpp: float) -> dict[str, FloatArray]:
    """Nuclear area, positive area and DAB (density times area) in each cell."""
    area = nuclei["area_um2"].to_numpy(dtype=np.float64)
    positive = area * nuclei["positive"].to_numpy(dtype=np.float64)
    dab = area * np.maximum(nuclei["dab_od_mean"].to_numpy(dtype=np.float64), 0)
    sums = region_sums(cells, _xy_px(nuclei), np.stack([area, positive, dab], axis=1), frame_mpp)
    return dict(zip(("nuclei_um2", "positive_um2", "dab"), sums.T, strict=True))


def _inside_um(tiles: pd.DataFrame, nuclei: pd.DataFrame, frame_mpp: float) -> FloatArray:
    """Centroids that lie in one of the tiles: nuclei are found a little beyond them, too."""
    xy_px = _xy_px(nuclei)
    inside = np.zeros(len(nuclei), dtype=bool)
    sides = tiles["size_px"] * tiles["mpp"] / frame_mpp
    for x, y, side in zip(tiles["x_px"], tiles["y_px"], sides, strict=True):
        inside |= ((xy_px >= (x, y)) & (xy_px < (x + side, y + side))).all(axis=1)
    return xy_px[inside] * frame_mpp


def _xy_px(nuclei: pd.DataFrame) -> FloatArray:
    return nuclei[["x_he_px", "y_he_px"]].to_numpy(dtype=np.float64)


def _share(part: FloatArray, whole: FloatArray) -> float:
    return float(part.sum() / whole.sum()) if whole.sum() > 0 else math.nan
