"""How well predicted ratios agree with measured ones, region by region.

Every figure names its definition; there is no bare "accuracy". Bins and tolerances are those in use
for ratios from Ki-67 sections: bins 0 to 0.2, 0.2 to 0.5 and 0.5 to 1 (an edge belongs to the upper
bin), tolerances 0.05, 0.1 and 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from tumor_ratio.metrics.bin_agreement import balanced_accuracy_of

FloatArray = NDArray[np.float64]
Loss = Callable[[FloatArray, FloatArray], FloatArray]

BIN_EDGES: Final = (0.2, 0.5)
BIN_NAMES: Final = ("0-0.2", "0.2-0.5", "0.5-1")
TOLERANCES: Final = (0.05, 0.1, 0.2)

_ROUNDING = (
    1e-9  # 0.4 - 0.3 is a little more than 0.1 in floating point, and within 0.1 all the same
)


def absolute_error(predicted: FloatArray, measured: FloatArray) -> FloatArray:
    """|predicted - measured|; its mean is the MAE."""
    return np.abs(predicted - measured)


def signed_error(predicted: FloatArray, measured: FloatArray) -> FloatArray:
    """Error with its sign, predicted - measured; its mean is the bias."""
    return predicted - measured


def squared_error(predicted: FloatArray, measured: FloatArray) -> FloatArray:
    """(predicted - measured)^2; its mean is the MSE."""
    return np.square(predicted - measured)


def is_within(tolerance: float) -> Loss:
    """1 where the absolute error is at most `tolerance`, else 0."""

    def within(predicted: FloatArray, measured: FloatArray) -> FloatArray:
        return (np.abs(predicted - measured) <= tolerance + _ROUNDING).astype(np.float64)

    return within


def is_in_bin(predicted: FloatArray, measured: FloatArray) -> FloatArray:
    """1 where both ratios lie in the same of the three bins, else 0."""
    return (bin_of(predicted) == bin_of(measured)).astype(np.float64)


REGION_METRICS: Final[dict[str, Loss]] = {
    "mae": absolute_error,
    "mse": squared_error,
    **{f"within_{tolerance:g}".replace(".", "_"): is_within(tolerance) for tolerance in TOLERANCES},
    "bin_accuracy": is_in_bin,
}
"""Metrics that are means of one number a region. Balanced accuracy is not one of them."""


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation, ties averaged.

    Parameters
    ----------
    first, second : (N,); pairs in which either is NaN are left out.

    Returns
    -------
    float
        NaN with fewer than two pairs, or where either is constant.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    both = ~(np.isnan(one) | np.isnan(two))
    if both.sum() < 2:
        return math.nan
    ranks = rankdata(one[both]), rankdata(two[both])
    if any(np.ptp(each) == 0 for each in ranks):
        return math.nan
    return float(np.corrcoef(*ranks)[0, 1])


def bin_of(ratio: ArrayLike) -> NDArray[np.int64]:
    """Index of the bin, 0 to 2; ratios below 0 count in the first bin, above 1 in the last.

    Raises
    ------
    ValueError
        If a ratio is NaN: an undefined ratio is in no bin.
    """
    values = np.asarray(ratio, dtype=np.float64)
    if np.isnan(values).any():
        raise ValueError("an undefined ratio (NaN) lies in no bin; leave it out first")
    return np.digitize(values, BIN_EDGES).astype(np.int64, copy=False)


def confusion_matrix(
    predicted: ArrayLike, measured: ArrayLike, weights: ArrayLike | None = None
) -> FloatArray:
    """Regions by measured bin (row) and predicted bin (column).

    Parameters
    ----------
    predicted, measured : (N,) ratios without NaN.
    weights : (N,) weight of each region; 1 where not given, which makes the entries counts.

    Returns
    -------
    (3, 3) float64
    """
    n_bins = len(BIN_NAMES)
    cell = bin_of(measured) * n_bins + bin_of(predicted)
    mass = None if weights is None else np.asarray(weights, dtype=np.float64)
    counts = np.bincount(cell, weights=mass, minlength=n_bins**2).astype(np.float64)
    return counts.reshape(n_bins, n_bins)


def balanced_accuracy(
    predicted: ArrayLike, measured: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Mean over the bins that were measured of the share of their regions predicted in them.

    Parameters are those of `confusion_matrix`.

    Returns
    -------
    float
        A constant answer scores 1 / (number of bins measured). NaN without regions.
    """
    return float(balanced_accuracy_of(confusion_matrix(predicted, measured, weights)))
