"""What an estimator must beat: constants, and linear models of colour and of nuclei.

All are fitted on training slides' labelled regions of kept tiles; the ridges choose their penalty
on validation slides. Test slides play no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.aggregation import slide_macro
from tumor_ratio.metrics.agreement import bin_of

FloatArray = NDArray[np.float64]

COLOUR: Final = ("mean_red", "mean_green", "mean_blue")
DENSITY: Final = ("n_he_nuclei", "he_nuclei_um2")

CONSTANTS: Final = ("training_mean", "training_median", "majority_bin")
RIDGES: Final[dict[str, tuple[str, ...]]] = {
    "ridge": (*COLOUR, "n_he_nuclei"),
    "ridge_colour": COLOUR,
    "ridge_density": DENSITY,
}
"""`ridge`, mean colour and nuclei count, is the main one."""

BASELINES: Final = (*CONSTANTS, *RIDGES)

SUPERVISION: Final = {
    "training_mean": "none: a constant",
    "training_median": "none: a constant",
    "majority_bin": "none: a constant",
    "ridge": "region ratios; sees mean colour and nuclei count",
    "ridge_colour": "region ratios; sees mean colour",
    "ridge_density": "region ratios; sees nuclei count and area",
}


def constant_baselines(training_ratios: FloatArray) -> dict[str, float]:
    """The constants by name.

    Parameters
    ----------
    training_ratios : (N,) labels of the training regions; NaN is left out.

    Returns
    -------
    dict
        Mean, median, and the majority bin's median (the bin with the most regions, the lower one
        of two equals); NaN where there is no label.
    """
    ratios = training_ratios[np.isfinite(training_ratios)]
    if ratios.size == 0:
        return dict.fromkeys(CONSTANTS, float("nan"))
    bins = bin_of(ratios)
    majority = int(np.bincount(bins).argmax())
    return {
        "training_mean": float(ratios.mean()),
        "training_median": float(np.median(ratios)),
        "majority_bin": float(np.median(ratios[bins == majority])),
    }


@dataclass(frozen=True)
class Ridge:
    """A linear model of standardised features, clipped to [0, 1].

    Parameters
    ----------
    columns : the features' names.
    centre, scale : (K,) of the training regions; a constant feature has scale 1.
    coefficients : (K,) per standardised feature.
    intercept : the training regions' mean ratio.
    alpha : the penalty, relative to the number of training regions.
    """

    columns: tuple[str, ...]
    centre: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    intercept: float
    alpha: float

    def predict(self, features: pd.DataFrame) -> FloatArray:
        """(N,) ratios in [0, 1]; NaN where a feature is NaN."""
        values = features[list(self.columns)].to_numpy(dtype=np.float64)
        linear = ((values - self.centre) / self.scale) @ self.coefficients + self.intercept
        return np.clip(linear, 0.0, 1.0)


def fit_ridge(
    columns: Sequence[str], features: pd.DataFrame, ratios: FloatArray, alpha: float
) -> Ridge:
    """Minimise mean squared error + alpha |coefficients|^2 over standardised features.

    Parameters
    ----------
    columns : features to use.
    features, ratios : (N, K) and (N,) of the training regions; rows with NaN are left out.
    alpha : penalty, at least 0.

    Raises
    ------
    ValueError
        If no row is complete.
    """
    values = features[list(columns)].to_numpy(dtype=np.float64)
    complete = np.isfinite(values).all(axis=1) & np.isfinite(ratios)
    if not complete.any():
        raise ValueError("no training region with a label and all features to fit a ridge on")
    values, targets = values[complete], ratios[complete]
    centre, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    standard = (values - centre) / scale
    gram = standard.T @ standard / len(targets) + alpha * np.eye(len(columns))
    moments = standard.T @ (targets - targets.mean()) / len(targets)
    coefficients = np.linalg.lstsq(gram, moments, rcond=None)[0]
    return Ridge(tuple(columns), centre, scale, coefficients, float(targets.mean()), alpha)


def choose_ridge(
    columns: Sequence[str],
    training: pd.DataFrame,
    validation: pd.DataFrame,
    alphas: Sequence[float],
) -> Ridge:
    """The ridge whose penalty has the lowest slide-macro MAE on validation slides.

    Parameters
    ----------
    columns : features to use.
    training, validation : one row a region with `columns`, tumor_ratio and slide_id.
    alphas : penalties to try, at least one; without a labelled validation region, and between
        equals, the largest is taken (the simplest model).

    Raises
    ------
    ValueError
        If no training row is complete.
    """
    targets = training["tumor_ratio"].to_numpy(dtype=np.float64)
    measured = validation["tumor_ratio"].to_numpy(dtype=np.float64)
    candidates = [fit_ridge(columns, training, targets, alpha) for alpha in sorted(alphas)[::-1]]
    losses = [
        slide_macro(np.abs(ridge.predict(validation) - measured), validation["slide_id"])
        for ridge in candidates
    ]
    return candidates[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
