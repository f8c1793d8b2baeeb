"""From the share of tumor nuclei on H&E to the ratio that Ki-67 would show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
        slides, calibrated through a second one of validation slides; no rows where no training
        slide has both a share and a label.
    maps : their records, by split.
    """
    by_region = labels.set_index("region_id")
    own = by_region.reindex(shares["region_id"])
    measured = own["tumor_ratio"].to_numpy(dtype=np.float64)
    weight = own["weight"].to_numpy(dtype=np.float64)
    if not (weight > 0).any():  # methods that count pixels give no weights
        weight = np.ones_like(weight)

    def fitted(values: NDArray[np.float64], split: str) -> MonotoneMap | None:
        of_split = shares["slide_id"].isin(slides_of(folds, protocol, split)).to_numpy()
        usable = of_split & np.isfinite(values) & np.isfinite(measured) & (weight > 0)
        if not usable.any():
            return None
        return fit_monotone(values[usable], measured[usable], weight[usable])

    values = shares["ratio"].to_numpy(dtype=np.float64)
    first = fitted(values, "train")
    if first is None:
        return Predictions.empty(), {}
    raw = first.apply(values)
    second = fitted(raw, "validation")
    calibrated = np.full_like(raw, np.nan) if second is None else second.apply(raw)
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
    )
    held_out = shares["slide_id"].isin(slides_of(folds, protocol, "validation", "test"))
    maps = {"train": first.to_record()}
    if second is not None:
        maps["validation"] = second.to_record()
    return table[held_out.to_numpy()].reset_index(drop=True), maps
