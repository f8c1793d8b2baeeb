"""From the share of tumor nuclei on H&E to the ratio that Ki-67 would show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.ilastik import NAME as APPROACH
from tumor_ratio.approaches.tail import predictions_of
from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.class_ratios import fit_share_map
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.schemas import Predictions

REFERENCE = "ihc_measured"


def mapped_predictions(
    shares: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, protocol: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of the validation and test slides, and the maps they went through.

    Parameters
    ----------
    shares : region_id, slide_id, and what `class_ratio` gives; the ratio is NaN where undefined.
    labels : `tumor_ratio.schemas.RatioLabels` of one method.
    folds : `tumor_ratio.schemas.Folds`.
    protocol : whose first fold says which slides train.

    Returns
    -------
    predictions : `tumor_ratio.schemas.Predictions`: raw through a map of the shares fitted on
        training slides (`fit_share_map`), calibrated through a monotone one of validation slides;
        slides count alike in both. Where the ratio is undefined the answer is the training regions'
        median. No rows where no training slide has both a share and a label.
    maps : their records by split, that median, and how many answers it gave; empty without rows.
    """
    own = labels.set_index("region_id").reindex(shares["region_id"])
    measured = own["tumor_ratio"].to_numpy(dtype=np.float64)
    slide_ids = shares["slide_id"].to_numpy()
    training = shares["slide_id"].isin(slides_of(folds, protocol, "train")).to_numpy()
    undefined = shares["ratio"].isna().to_numpy()
    usable = ~undefined & np.isfinite(measured)
    if not (usable & training).any():
        return Predictions.empty(), {}
    taught = usable & training
    first = fit_share_map(shares[taught], measured[taught], slide_weights(slide_ids[taught]))
    median = float(np.nanmedian(measured[training]))
    raw = np.where(undefined, median, first.apply(shares))
    card = {"approach": APPROACH, "protocol": protocol, "reference": REFERENCE}
    table, second = predictions_of(shares, raw, ~undefined, measured, folds, card)
    held_out = shares["slide_id"].isin(slides_of(folds, protocol, "validation", "test")).to_numpy()
    maps: dict[str, Any] = {
        "train": first.to_record(),
        "training_median": median,
        "answered_with_the_median": int((undefined & held_out).sum()),
    }
    if second:
        maps["validation"] = second
    return table[held_out].reset_index(drop=True), maps


def account_of(card: Mapping[str, Any], maps: Mapping[str, Any]) -> dict[str, str]:
    """What the report says of the approach: `supervision`, and `reason` where it has no answer."""
    if "missing" in card:
        return {"supervision": "nothing", "reason": str(card["missing"])}
    counted = ", ".join(card["counted"])
    return {
        # Tables show what stands before the semicolon.
        "supervision": f"{card['labels_from']}, mapped; the shares of {counted} and of all nuclei "
        "go through a map to region ratios",
        "reason": "" if maps else "no training slide has both a share and a ratio label",
    }
