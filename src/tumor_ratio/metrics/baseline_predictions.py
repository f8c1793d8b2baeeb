"""The baselines as approaches: the same table of predictions that every network writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.baselines import RIDGES, choose_ridge, constant_baselines
from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.metrics.folds import check_folds
from tumor_ratio.schemas import Predictions

FloatArray = NDArray[np.float64]

_RUN = ["protocol", "repeat", "fold"]


def baseline_predictions(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    references: pd.DataFrame,
    patch_features: pd.DataFrame,
    folds: pd.DataFrame,
    *,
    reference: str,
    alphas: Sequence[float],
) -> pd.DataFrame:
    """Fit every baseline in every fold, and predict the validation and test slides' regions.

    Parameters
    ----------
    patches : `schemas.Regions`.
    pair_quality : `schemas.PairQuality`; regions of tiles that were not kept train nothing.
    references : `schemas.References`.
    patch_features : `schemas.PatchFeatures`; a region without features is NaN for the ridges.
    folds : `schemas.Folds`.
    reference : the label to learn.
    alphas : penalties of the ridges, chosen from on validation slides.

    Returns
    -------
    DataFrame
        `schemas.Predictions`. Ridges are calibrated on validation slides as the networks are;
        constants have nothing to calibrate. NaN where a baseline could not be fitted; empty without
        folds.
    """
    regions = labelled_regions(
        patches, pair_quality, references, patch_features, reference=reference
    )
    check_folds(folds)
    parts = []
    for run, members in folds.groupby(_RUN):
        placed = regions.merge(members[["slide_id", "split"]], on="slide_id")
        usable = placed[placed["selected"] & placed["tumor_ratio"].notna()]
        training = usable[usable["split"] == "train"]
        validation = usable[usable["split"] == "validation"]
        asked = placed[placed["split"] != "train"]
        for approach, value in constant_baselines(training["tumor_ratio"].to_numpy()).items():
            constant = np.full(len(asked), value)
            parts.append(_rows(approach, run, asked, reference, constant, constant))
        for approach, columns in RIDGES.items():
            raw, calibrated = _ridge(columns, training, validation, asked, alphas)
            parts.append(_rows(approach, run, asked, reference, raw, calibrated))
    return pd.concat(parts, ignore_index=True) if parts else Predictions.empty()


def labelled_regions(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    references: pd.DataFrame,
    patch_features: pd.DataFrame,
    *,
    reference: str,
) -> pd.DataFrame:
    """Every patch with its label and features, NaN where it has none.

    Parameters
    ----------
    patches, pair_quality, references, patch_features, reference : as in `baseline_predictions`.

    Returns
    -------
    DataFrame
        region_id, slide_id, selected (its tile was kept), tumor_ratio, and the features.
    """
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    label = references.loc[references["reference"] == reference, ["region_id", "tumor_ratio"]]
    return (
        patches[["region_id", "slide_id"]]
        .assign(selected=patches["tile_id"].isin(kept))
        .merge(label, on="region_id", how="left")
        .merge(patch_features.drop(columns="slide_id", errors="ignore"), on="region_id", how="left")
    )


def _ridge(
    columns: Sequence[str],
    training: pd.DataFrame,
    validation: pd.DataFrame,
    asked: pd.DataFrame,
    alphas: Sequence[float],
) -> tuple[FloatArray, FloatArray]:
    """Raw and calibrated ratios of one ridge."""
    nothing = np.full(len(asked), np.nan)
    if training[list(columns)].dropna().empty:
        return nothing, nothing
    ridge = choose_ridge(columns, training, validation, alphas)
    raw = ridge.predict(asked)
    on_validation = ridge.predict(validation)
    measured = validation["tumor_ratio"].to_numpy(dtype=np.float64)
    usable = np.isfinite(on_validation) & np.isfinite(measured)
    if not usable.any():
        return raw, nothing
    weights = slide_weights(validation["slide_id"].to_numpy()[usable])
    return raw, fit_monotone(on_validation[usable], measured[usable], weights).apply(raw)


def _rows(
    approach: str,
    run: tuple[object, ...],
    asked: pd.DataFrame,
    reference: str,
    raw: FloatArray,
    calibrated: FloatArray,
) -> pd.DataFrame:
    protocol, repeat, fold = run
    return pd.DataFrame(
        {
            "approach": approach,
            "protocol": protocol,
            "repeat": repeat,
            "fold": fold,
            "region_id": asked["region_id"].to_numpy(),
            "reference": reference,
            "tumor_ratio": raw,
            "tumor_ratio_calibrated": calibrated,
            "lower": np.nan,
            "upper": np.nan,
        }
    )
