"""Agreement in the three bins, from a matrix of measured (row) by predicted (column) bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def balanced_accuracy_of(confusion: FloatArray) -> FloatArray:
    """Mean over the bins that were measured of the share predicted in them (recall).

    Parameters
    ----------
    confusion : (..., K, K) counts or weights.

    Returns
    -------
    (...) float64
        NaN where the matrix is empty.
    """
    recall = _quotient(_diagonal(confusion), confusion.sum(axis=-1))
    return _mean_defined(recall)


def macro_f1_of(confusion: FloatArray) -> FloatArray:
    """Mean of 2 hits / (measured + predicted), over the bins that were measured or predicted."""
    either = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return _mean_defined(_quotient(2.0 * _diagonal(confusion), either))


def quadratic_kappa_of(confusion: FloatArray) -> FloatArray:
    """Cohen's kappa, disagreement weighted by the square of the distance between bins.

    Cohen, Psychological Bulletin 1968; 70: 213. 1 - observed / expected disagreement; NaN where
    measured and predicted lie in one bin each, as of a single row: nothing is told apart.
    """
    places = np.arange(confusion.shape[-1])
    penalty = np.square(places[:, None] - places).astype(np.float64)
    total = confusion.sum(axis=(-2, -1))
    rows, columns = confusion.sum(axis=-1), confusion.sum(axis=-2)
    observed = (confusion * penalty).sum(axis=(-2, -1)) * total
    expected = np.einsum("...i,ij,...j->...", rows, penalty, columns)
    # Left over by leaving one case out of a sum of cases: rounding, not mass.
    least = 1e-12 * total[..., None]
    varies = ((rows > least).sum(axis=-1) > 1) | ((columns > least).sum(axis=-1) > 1)
    expected = np.where(varies, expected, 0.0)
    return 1.0 - _quotient(observed, expected)


BIN_FIGURES: Final[dict[str, Callable[[FloatArray], FloatArray]]] = {
    "balanced_accuracy": balanced_accuracy_of,
    "macro_f1": macro_f1_of,
    "quadratic_kappa": quadratic_kappa_of,
}


def _diagonal(confusion: FloatArray) -> FloatArray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _quotient(over: FloatArray, under: FloatArray) -> FloatArray:
    return np.divide(over, under, out=np.full(np.shape(under), np.nan), where=under > 1e-12)


def _mean_defined(values: FloatArray) -> FloatArray:
    defined = np.isfinite(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0.0).sum(axis=-1)
    return _quotient(total, count.astype(np.float64))
