"""From the share of tumor nuclei on H&E to the ratio that Ki-67 would show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.calibration import MonotoneMap, fit_monotone
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.schemas import Predictions

APPROACH = "ilastik"
REFERENCE = "ihc_measured"


def mapped_predictions(
    shares: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, protocol: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of the validation and test slides, and the maps they went through.

    Parameters
    ----------
    shares : region_id, slide_id, ratio (NaN where undefined).
    labels : `tumor_ratio.schemas.RatioLabels` of one method.
    folds : `tumor_ratio.schemas.Folds`.
    protocol : whose first fold says which slides train.

    Returns
    -------
    predictions : `tumor_ratio.schemas.Predictions`: raw through a monotone map fitted on training
        slides, calibrated through a second one of validation slides, which count alike. Where the
        share is undefined the answer is the training regions' median. No rows where no training
        slide has both a share and a label.
    maps : their records by split, that median, and how many answers it gave; empty without rows.
    """
    own = labels.set_index("region_id").reindex(shares["region_id"])
    measured = own["tumor_ratio"].to_numpy(dtype=np.float64)
    weight = own["weight"].to_numpy(dtype=np.float64)
    if not (weight > 0).any():  # methods that count pixels give no weights
        weight = np.ones_like(weight)
    training, validation = (
        shares["slide_id"].isin(slides_of(folds, protocol, split)).to_numpy()
        for split in ("train", "validation")
    )
    values = shares["ratio"].to_numpy(dtype=np.float64)
    first = _fitted(values, measured, weight, training)
    if first is None:
        return Predictions.empty(), {}
    median = float(np.nanmedian(measured[training]))
    undefined = np.isnan(values)
    raw = np.where(undefined, median, first.apply(values))
    usable = validation & ~undefined & np.isfinite(measured)
    by_slide = np.zeros_like(weight)
    by_slide[usable] = slide_weights(shares["slide_id"].to_numpy()[usable])
    second = _fitted(raw, measured, by_slide, usable)
    calibrated = np.full_like(raw, np.nan) if second is None else second.apply(raw)
    held_out = shares["slide_id"].isin(slides_of(folds, protocol, "validation", "test")).to_numpy()
    table = pd.DataFrame(
        {
            "approach": APPROACH,
            "protocol": protocol,
            "repeat": 0,
            "fold": 0,
            "region_id": shares["region_id"],
            "reference": REFERENCE,
            "tumor_ratio": raw,
            "tumor_ratio_calibrated": calibrated,
            "lower": np.nan,
            "upper": np.nan,
        }
    )[held_out].reset_index(drop=True)
    maps: dict[str, Any] = {
        "train": first.to_record(),
        "training_median": median,
        "answered_with_the_median": int((undefined & held_out).sum()),
    }
    if second is not None:
        maps["validation"] = second.to_record()
    return table, maps


def account_of(card: Mapping[str, Any], maps: Mapping[str, Any]) -> dict[str, str]:
    """What the report says of the approach: `supervision`, and `reason` where it has no answer."""
    if "missing" in card:
        return {"supervision": "nothing", "reason": str(card["missing"])}
    counted = ", ".join(card["counted"])
    return {
        # Tables show what stands before the semicolon.
        "supervision": f"{card['labels_from']}, mapped; the share of {counted} goes through a map "
        "to region ratios",
        "reason": "" if maps else "no training slide has both a share and a ratio label",
    }


def _fitted(
    values: NDArray[np.float64],
    measured: NDArray[np.float64],
    weight: NDArray[np.float64],
    of_split: NDArray[np.bool_],
) -> MonotoneMap | None:
    """The map from values to measured ratios on some regions; None where there are none."""
    usable = of_split & np.isfinite(values) & np.isfinite(measured) & (weight > 0)
    if not usable.any():
        return None
    return fit_monotone(values[usable], measured[usable], weight[usable])
