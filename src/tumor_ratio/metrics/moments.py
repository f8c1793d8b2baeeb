"""Agreement of two measurements from their means, variances and covariance.

All rows count together, each case weighing the same. Every figure is a function of the mean over
cases of each case's moments, so that leaving a case out, or drawing cases anew, costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tumor_ratio.metrics.paired_values import FloatArray, PairedValues

NO_SPREAD: Final = 1e-14
"""A variance up to this is rounding: all values are the same."""

LIMITS_SD: Final = 1.96
"""Standard deviations from the bias to either limit of agreement."""


class Moments(NamedTuple):
    """Arrays of one shape: predicted p, measured y, their variances over n, covariance and so on.

    `mean_square` is of p - y; `unbias` turns a variance over n into one over n - 1 (for weights
    that are not equal: by their Kish number of equal ones).
    """

    predicted: FloatArray
    measured: FloatArray
    predicted_variance: FloatArray
    measured_variance: FloatArray
    covariance: FloatArray
    mean_square: FloatArray
    unbias: FloatArray

    @property
    def bias(self) -> FloatArray:
        """Mean of p - y."""
        return self.predicted - self.measured

    @property
    def difference_variance(self) -> FloatArray:
        """Variance over n of p - y."""
        return np.maximum(self.mean_square - self.bias**2, 0.0)


def case_moments(values: PairedValues) -> FloatArray:
    """(C, 8) each case's means of p, y, p^2, y^2, p y, (p - y)^2, the weights, and the shift.

    p and y are taken from their common centre (the shift), for the sake of rounding.
    """
    shift = float(values.measured.mean()) if len(values) else 0.0
    p, y = values.predicted - shift, values.measured - shift
    means = [values.case_means(column) for column in (p, y, p * p, y * y, p * y, np.square(p - y))]
    weights = values.over_cases(values.slide_weights)
    return np.stack([*means, weights, np.full(values.n_cases, shift)], axis=-1)


def moments_of(means: FloatArray, n_cases: int) -> Moments:
    """Moments from the mean over cases.

    Parameters
    ----------
    means : (..., 8) mean over cases of what `case_moments` gives.
    n_cases : behind each mean.
    """
    p, y, pp, yy, py, dd, weight, shift = np.moveaxis(means, -1, 0)
    return Moments(
        predicted=p + shift,
        measured=y + shift,
        predicted_variance=_spread(pp - p * p),
        measured_variance=_spread(yy - y * y),
        covariance=py - p * y,
        mean_square=dd,
        unbias=_quotient(np.ones_like(weight), 1.0 - weight / n_cases),
    )


def rmse(m: Moments) -> FloatArray:
    """Root of the mean squared error."""
    return np.sqrt(m.mean_square)


def r2(m: Moments) -> FloatArray:
    """1 - mean squared error / variance of the measured values; not a squared correlation."""
    return 1.0 - _quotient(m.mean_square, m.measured_variance)


def pearson(m: Moments) -> FloatArray:
    """Pearson's correlation; NaN where either is constant."""
    spread = np.sqrt(m.predicted_variance * m.measured_variance)
    return np.clip(_quotient(m.covariance, spread), -1.0, 1.0)


def ccc(m: Moments) -> FloatArray:
    """Lin's concordance correlation coefficient (Biometrics 1989; 45: 255), variances over n.

    NaN where neither varies, as of a single pair: the formula's 0 would say that they disagree.
    """
    spread = m.predicted_variance + m.measured_variance
    return _quotient(2.0 * m.covariance, np.where(spread > 0, spread + m.bias**2, 0.0))


def icc(m: Moments) -> FloatArray:
    """ICC(2,1) of the two measurements, from the mean squares (see `mean_square_icc`).

    NaN where neither varies.
    """
    n = _quotient(m.unbias, m.unbias - 1.0)
    mean = (m.predicted_variance + m.measured_variance + 2.0 * m.covariance) / 4.0
    rows = 2.0 * mean * m.unbias
    columns = n * m.bias**2 / 2.0
    error = m.difference_variance * m.unbias / 2.0
    varies = m.predicted_variance + m.measured_variance > 0
    return np.where(varies, mean_square_icc(rows, columns, error, n, 2), np.nan)


def mean_square_icc(
    rows: FloatArray, columns: FloatArray, error: FloatArray, n: FloatArray, k: int
) -> FloatArray:
    """ICC(2,1): absolute agreement, two-way random, single measurement.

    Shrout and Fleiss, Psychological Bulletin 1979; 86: 420, page 423.

    Parameters
    ----------
    rows, columns, error : mean squares between targets, between raters, and of what remains.
    n : targets.
    k : raters.
    """
    total = rows + (k - 1) * error + k * (columns - error) / n
    return _quotient(rows - error, total)


def limit_lower(m: Moments) -> FloatArray:
    """Lower 95 % limit of agreement (Bland and Altman, Lancet 1986; 327: 307)."""
    return m.bias - LIMITS_SD * np.sqrt(m.difference_variance * m.unbias)


def limit_upper(m: Moments) -> FloatArray:
    """Upper 95 % limit of agreement."""
    return m.bias + LIMITS_SD * np.sqrt(m.difference_variance * m.unbias)


def calibration_slope(m: Moments) -> FloatArray:
    """Slope of the measured on the predicted value by least squares; ideally 1."""
    return _quotient(m.covariance, m.predicted_variance)


def calibration_intercept(m: Moments) -> FloatArray:
    """What that line measures where 0 is predicted; ideally 0."""
    return m.measured - calibration_slope(m) * m.predicted


MOMENT_FIGURES: Final[dict[str, Callable[[Moments], FloatArray]]] = {
    "rmse": rmse,
    "r2": r2,
    "pearson": pearson,
    "ccc": ccc,
    "icc_2_1": icc,
    "limit_lower": limit_lower,
    "limit_upper": limit_upper,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
}


def _spread(variance: FloatArray) -> FloatArray:
    return np.where(variance > NO_SPREAD, variance, 0.0)


def _quotient(over: FloatArray, under: FloatArray) -> FloatArray:
    """NaN where the divisor is not positive."""
    positive = np.asarray(under) > 0
    return np.divide(over, under, out=np.full(np.shape(over + under), np.nan), where=positive)


def within_slides(values: PairedValues) -> NDArray[np.float64]:
    """(C, 3) each case's mean over slides of the slide's covariance and two variances."""
    p = values.predicted - values.slide_means(values.predicted)[values.slide]
    y = values.measured - values.slide_means(values.measured)[values.slide]
    return np.stack([values.case_means(product) for product in (p * y, p * p, y * y)], axis=-1)


def pearson_within(means: FloatArray) -> FloatArray:
    """Correlation of slide-centred values, from (..., 3) means of what `within_slides` gives."""
    covariance, of_predicted, of_measured = np.moveaxis(means, -1, 0)
    spread = np.sqrt(_spread(of_predicted) * _spread(of_measured))
    return np.clip(_quotient(covariance, spread), -1.0, 1.0)
