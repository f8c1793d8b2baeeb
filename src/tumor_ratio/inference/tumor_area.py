"""The tumor's area, where something says what a ratio means for it; else why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tumor_ratio.inference.fields import RatioField
from tumor_ratio.metrics.tumor_share import (
    Labellings,
    ShareRange,
    tumor_share,
    tumor_share_bounds,
)

TUMOR = "tumor"
"""What a slide's `marker_meaning` says of a tumor-specific marker."""

WAYS = (
    "a tumor's area needs a tumor-specific marker, or the labelling of tumor and of other nuclei "
    "(tumor_labelling, other_labelling)"
)
NO_RATIO = "no tissue of this slide has a ratio"
SPECIFIC = (
    "all training slides declare a tumor-specific marker: the ratio is taken for the tumor's share"
)

TUMOR_NUMBERS = (
    "tissue_ratio",
    "tumor_area_mm2",
    "tumor_area_lower_mm2",
    "tumor_area_upper_mm2",
    "tumor_nuclear_share",
)
TUMOR_TEXTS = ("tumor_area_basis", "tumor_area_reason")


def tissue_ratio(field: RatioField) -> float:
    """Mean of the cells' calibrated ratios, weighted by stained tissue; NaN where none has both."""
    known = np.isfinite(field.ratio)
    tissue = float(field.tissue[known].sum())
    if not tissue > 0:
        return math.nan
    return float((field.tissue[known] * field.ratio[known]).sum()) / tissue


def tumor_area_mm2(ratio: float, tumor: float, other: float, scored_mm2: float) -> float:
    """The tumor's share of the scored tissue, cut to [0, 1], as an area; NaN without a ratio."""
    return _cut(tumor_share(ratio, tumor, other)) * scored_mm2


def tumor_area_record(
    by_tissue: float,
    by_nuclei: float,
    scored_mm2: float,
    card: Mapping[str, Any],
    labellings: Labellings | None,
) -> dict[str, float | str]:
    """What is said of the tumor in a slide.

    Parameters
    ----------
    by_tissue : from `tissue_ratio`.
    by_nuclei : the slide's calibrated ratio, weighted by nuclear area.
    scored_mm2 : stained tissue of the cells with a ratio.
    card : of the model. Where its `domain` says that all training slides declare a tumor-specific
        marker, a ratio is taken for the tumor's share: l = 1, b = 0.
    labellings : l and b as the user gives them, which win over the card; None where not given.

    Returns
    -------
    dict
        `TUMOR_NUMBERS` and `TUMOR_TEXTS`. tissue_ratio: `by_tissue`. tumor_area_mm2: share of
        `by_tissue` times scored_mm2; its lower and upper over the given ranges, NaN where none are
        given. tumor_nuclear_share: that of `by_nuclei`. tumor_area_basis: what all this rests on,
        empty without an area. tumor_area_reason: why there is no area; where there is one, why the
        labellings, or the ratio, cannot be right for this slide, else empty.

    Notes
    -----
    The identity is linear in the ratio, so that it holds for means, and only the final share is cut
    to [0, 1]: cut in each cell, the cells' noise would become bias. Between slides it still does:
    where there is no tumor, half of the errors are cut away.

    A share of nuclear area is taken for one of tissue within a cell: tumor is supposed to have as
    much area of nuclei per mm2 as what lies around it there. Bounds leave out the prediction's own
    error.
    """
    nothing = dict.fromkeys(TUMOR_NUMBERS, math.nan)
    specific = _meanings(card) == [TUMOR]
    if labellings is None and not specific:
        return {
            **nothing,
            "tissue_ratio": by_tissue,
            "tumor_area_basis": "",
            "tumor_area_reason": _no_area(card),
        }
    if not math.isfinite(by_tissue):
        return {**nothing, "tumor_area_basis": "", "tumor_area_reason": NO_RATIO}
    tumor, other = (1.0, 0.0) if labellings is None else _values(labellings)
    lower, upper = math.nan, math.nan
    if labellings is not None:
        bounds = tumor_share_bounds(by_tissue, labellings)
        lower, upper = (_cut(bound) * scored_mm2 for bound in bounds)
    return {
        "tissue_ratio": by_tissue,
        "tumor_area_mm2": tumor_area_mm2(by_tissue, tumor, other, scored_mm2),
        "tumor_area_lower_mm2": lower,
        "tumor_area_upper_mm2": upper,
        "tumor_nuclear_share": _cut(tumor_share(by_nuclei, tumor, other)),
        "tumor_area_basis": SPECIFIC if labellings is None else _told(labellings),
        "tumor_area_reason": _out_of_range(by_tissue, by_nuclei, tumor, other),
    }


def _cut(share: float) -> float:
    return share if math.isnan(share) else min(max(share, 0.0), 1.0)


def _values(labellings: Labellings) -> tuple[float, float]:
    return labellings.tumor.value, labellings.other.value


def _meanings(card: Mapping[str, Any]) -> list[str]:
    """What the training slides say that their marker means; empty where one says nothing."""
    return [str(each) for each in (card.get("domain") or {}).get("marker_meaning") or ()]


def _no_area(card: Mapping[str, Any]) -> str:
    meanings = _meanings(card)
    if not meanings:
        return f"what the marker means is not declared for all training slides: {WAYS}"
    if len(meanings) > 1:
        return f"the training slides' markers mean {' and '.join(meanings)}: {WAYS}"
    return f"the model learned from a marker of {meanings[0]}, which is not the tumor: {WAYS}"


def _told(labellings: Labellings) -> str:
    tumor, other = (_range_words(each) for each in (labellings.tumor, labellings.other))
    return (
        f"labelling by area as given: {tumor} of tumor nuclei, {other} of other nuclei; the area's "
        "range is of these alone"
    )


def _range_words(share: ShareRange) -> str:
    return f"{share.value:g} ({share.lower:g} to {share.upper:g})"


def _out_of_range(by_tissue: float, by_nuclei: float, tumor: float, other: float) -> str:
    """Which of the two ratios lie outside the labellings; empty where none does."""
    found = []
    for name, ratio in (("tissue", by_tissue), ("nuclei", by_nuclei)):
        if ratio > tumor:
            found.append(f"the ratio over {name}, {ratio:.3g}, is above {tumor:g} of tumor nuclei")
        elif ratio < other:
            found.append(f"the ratio over {name}, {ratio:.3g}, is below {other:g} of other nuclei")
    if not found:
        return ""
    return "; ".join(found) + ": a labelling is wrong for this slide, or the prediction is"
