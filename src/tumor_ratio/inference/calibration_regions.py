"""Regions of a fold, as a calibration for new slides takes them."""

from __future__ import annotations

import pandas as pd

from tumor_ratio.inference.new_slide_calibration import COLUMNS
from tumor_ratio.metrics.folds import FoldKey, members_of


def calibration_regions(
    patches: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    predictions: pd.DataFrame,
    areas: pd.DataFrame,
    *,
    label_method: str,
    protocol: str,
    key: FoldKey,
) -> pd.DataFrame:
    """All patches of a fold's slides that H&E alone admits, chosen pairs or not: new slides have
    no pair that could be chosen by.

    Parameters
    ----------
    patches : `schemas.Regions`.
    ratio_labels : `schemas.RatioLabels`; those by `label_method` are what is measured.
    folds : `schemas.Folds`; the fold `key` of `protocol` counts.
    predictions : `schemas.Predictions` of one approach.
    areas : region_id, hematoxylin_um2.
    label_method, protocol, key : of the model.

    Returns
    -------
    DataFrame
        A row a patch, with the columns `COLUMNS`; NaN where something is unknown.
    """
    members = members_of(folds, protocol, key)
    labels = ratio_labels.loc[
        ratio_labels["label_method"] == label_method, ["region_id", "tumor_ratio", "nuclei_um2"]
    ].rename(columns={"tumor_ratio": "measured", "nuclei_um2": "measured_um2"})
    of_fold = (predictions["repeat"] == key.repeat) & (predictions["fold"] == key.fold)
    predicted = predictions.loc[of_fold, ["region_id", "tumor_ratio", "tumor_ratio_calibrated"]]
    return (
        patches[["region_id", "slide_id"]]
        .merge(members[["slide_id", "case_id", "split"]], on="slide_id")
        .merge(labels, on="region_id", how="left")
        .merge(predicted, on="region_id", how="left")
        .merge(areas, on="region_id", how="left")[list(COLUMNS)]
    )
