"""From the ratios on virtual slides to predictions, raw and calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.cyclegan import NAME as APPROACH
from tumor_ratio.approaches.tail import predictions_of
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.gan_translation.training_step import REFERENCE


def calibrated_predictions(
    virtual: pd.DataFrame, labels: pd.DataFrame, folds: pd.DataFrame, protocol: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of the validation and test slides, and the map that calibrates them.

    Parameters
    ----------
    virtual : region_id, slide_id, tumor_ratio on the virtual slide (NaN where undefined).
    labels : `schemas.RatioLabels` of one method.
    folds : `schemas.Folds`.
    protocol : whose first fold says which slides validate.

    Returns
    -------
    predictions : `schemas.Predictions`. Where a virtual slide shows too few nuclei the answer is
        the median of the training slides' labels. Calibrated is NaN without labelled validation
        regions.
    account : that map, that median, and how many answers it gave.
    """
    measured = labels.set_index("region_id")["tumor_ratio"]
    median = _training_median(labels, folds, protocol)
    values = virtual["tumor_ratio"].to_numpy(dtype=np.float64)
    raw = np.where(np.isnan(values), median, values)
    own = measured.reindex(virtual["region_id"]).to_numpy(dtype=np.float64)
    card = {"approach": APPROACH, "protocol": protocol, "reference": REFERENCE}
    table, record = predictions_of(virtual, raw, np.isfinite(raw), own, folds, card)
    return table, {
        "calibration": record,
        "training_median": median,
        "answered_with_the_median": int(np.isnan(values).sum()),
    }


def account_of(card: Mapping[str, Any], n_predictions: int) -> dict[str, str]:
    """What the report says of the approach: `supervision`, and `reason` where it has no answer."""
    reason = "" if n_predictions else "no validation or test slide could be translated"
    return {"supervision": str(card["supervision"]), "reason": reason}


def _training_median(labels: pd.DataFrame, folds: pd.DataFrame, protocol: str) -> float:
    training = slides_of(folds, protocol, "train")
    return float(labels.loc[labels["slide_id"].isin(training), "tumor_ratio"].median())
