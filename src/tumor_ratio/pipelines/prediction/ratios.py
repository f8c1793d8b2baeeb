"""From regions to slides, and what every row of the output carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.inference.domain import FIELDS, interval_reason, judge_declared, warning_text
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.reporting.stamps import stamps_for

WEIGHT_SOURCE = "hematoxylin_area"
CALIBRATION_SLIDES = 0
"""Validation slides chose the epoch and fitted the monotone map, and cannot calibrate intervals."""


def slide_ratio(regions: pd.DataFrame) -> dict[str, Any]:
    """Sum up one slide.

    Parameters
    ----------
    regions : rows of one slide, from `predict_new_slide`.

    Returns
    -------
    dict
        n_regions (with a ratio), n_unscored, tissue_mm2 (of the regions with a ratio), nuclear_mm2,
        and both ratios as sum(w r) / sum(w), w the nuclear area; NaN where no region has a weight.
    """
    scored = regions[regions["tumor_ratio"].notna()]
    weight = scored["nuclear_um2"].to_numpy()
    total = weight.sum()
    area_um2 = scored["tissue"] * (scored["size_px"] * scored["mpp"]) ** 2
    ratios = {
        name: float((weight * scored[name]).sum() / total) if total > 0 else np.nan
        for name in ("tumor_ratio", "tumor_ratio_calibrated")
    }
    return {
        "n_regions": len(scored),
        "n_unscored": len(regions) - len(scored),
        "tissue_mm2": float(area_um2.sum() / 1e6),
        "nuclear_mm2": float(total / 1e6),
        **ratios,
    }


def stamped(
    table: pd.DataFrame,
    pairs: Mapping[str, SlidePair],
    card: Mapping[str, Any],
    params: PredictionParams,
) -> pd.DataFrame:
    """Add to each row what must not be separated from its numbers.

    Parameters
    ----------
    table : has a column slide_id.
    pairs : the slides by id, for what they declare.
    card : the model's card.
    params : for what they declare of all slides.

    Returns
    -------
    DataFrame
        With lower, upper (NaN: intervals are withheld), interval, weight_source, approach, model,
        training_data, domain_warning and stamp.
    """
    warnings = {
        slide_id: judge_declared(declared(pair, params), card["domain"])
        for slide_id, pair in pairs.items()
    }
    reasons = {name: interval_reason(found, CALIBRATION_SLIDES) for name, found in warnings.items()}
    return table.assign(
        lower=np.nan,
        upper=np.nan,
        interval=table["slide_id"].map(reasons),
        weight_source=WEIGHT_SOURCE,
        approach=card["approach"],
        model=str(card.get("fingerprint", ""))[:16],
        training_data=card["training_data"],
        domain_warning=table["slide_id"].map(
            {name: warning_text(found) for name, found in warnings.items()}
        ),
        stamp=" ".join(stamps_for(card["training_data"])),
    )


def declared(pair: SlidePair, params: PredictionParams) -> dict[str, str]:
    """Species, organ and stain of a slide: its row's, else those declared for all; may be empty."""
    return {name: str(pair.meta.get(name) or getattr(params, name)) for name in FIELDS}
