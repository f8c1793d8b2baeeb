"""The tumor area that ratios give where labellings are known, and where one is wrong."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pandas as pd

from tumor_ratio.inference.tumor_area import tumor_area_mm2
from tumor_ratio.metrics.tumor_share import tumor_share

WRONG: Final = 0.1
"""So much is the tumor's labelling taken too low and too high."""
AREAS: Final = (
    "tumor_area",
    "tumor_area_uncut",
    "tumor_area_true_ratio",
    "tumor_area_l_low",
    "tumor_area_l_high",
)
"""Without their unit; see `with_tumor_areas`."""
BY_SLIDE: Final = "tumor_area_error_by_slide"
MEASURED: Final = (
    "tumor_nuclei_mm2",
    "tumor_positive_mm2",
    "other_nuclei_mm2",
    "other_positive_mm2",
)


def with_tumor_areas(slides: pd.DataFrame) -> pd.DataFrame:
    """Slides with what `prediction` would say of the tumor's area, l and b being known.

    Parameters
    ----------
    slides : of `slide_rows`, with the area of nuclei by kind (`MEASURED`), tissue_ratio,
        true_tissue_ratio and scored_mm2.

    Returns
    -------
    DataFrame
        `l_by_area`, `b_by_area`: the labelling of tumor and of other nuclei, of all slides of the
        condition together; a slide's own is not known where a model is used. In mm2:
        `tumor_area`: with these; `tumor_area_uncut`: the share not cut to [0, 1];
        `tumor_area_true_ratio`: from true instead of predicted ratios; `tumor_area_l_low` and
        `tumor_area_l_high`: with l 0.1 lower and higher. NaN where undefined: without a ratio, or
        for an l of over 1 or not above b.
    """
    sums = slides.groupby("condition", sort=False)[list(MEASURED)].transform("sum")
    tumor, other = (
        sums[f"{name}_positive_mm2"] / sums[f"{name}_nuclei_mm2"].where(lambda area: area > 0)
        for name in ("tumor", "other")
    )
    areas = []
    for row, l, b in zip(slides.to_dict("records"), tumor, other, strict=True):
        ratio, scored = float(row["tissue_ratio"]), float(row["scored_mm2"])
        true_ratio = float(row["true_tissue_ratio"])
        uncut = tumor_share(ratio, l, b) * scored if _usable(l, b) else math.nan
        found = (
            _area(ratio, l, b, scored),
            uncut,
            _area(true_ratio, l, b, scored),
            _area(ratio, l - WRONG, b, scored),
            _area(ratio, l + WRONG, b, scored),
        )
        areas.append(dict(zip((f"{name}_mm2" for name in AREAS), found, strict=True)))
    return slides.assign(l_by_area=tumor, b_by_area=other).join(
        pd.DataFrame(areas, index=slides.index)
    )


def tumor_errors(part: pd.DataFrame) -> dict[str, float]:
    """Relative error of each area's sum over slides; NaN where a slide's area is undefined.

    Parameters
    ----------
    part : slides of one condition, from `with_tumor_areas`.

    Returns
    -------
    dict
        `<area>_error`; `tumor_area_error_by_slide`: sum of the slides' absolute errors over the
        tumor's area, in which they do not cancel.
    """
    true = part["tumor_mm2"].to_numpy(dtype=np.float64)
    total = float(true.sum())
    if not total > 0:
        return dict.fromkeys((*(f"{name}_error" for name in AREAS), BY_SLIDE), math.nan)
    sums = {name: float(part[f"{name}_mm2"].sum(skipna=False)) for name in AREAS}
    return {
        **{f"{name}_error": area / total - 1 for name, area in sums.items()},
        BY_SLIDE: float((part["tumor_area_mm2"] - true).abs().sum(skipna=False)) / total,
    }


def _usable(l: float, b: float) -> bool:
    return b < l <= 1


def _area(ratio: float, l: float, b: float, scored_mm2: float) -> float:
    return tumor_area_mm2(ratio, l, b, scored_mm2) if _usable(l, b) else math.nan
