"""Intervals of figures that are not means over slides, from the spread between cases.

A figure is a function of the mean over cases of some numbers of each case, so leaving a case out
and drawing cases anew are both sums over the same small table. The spread is taken on a scale of
its own for each figure: Fisher's z for correlations, but the plain one for concordance (CCC, ICC),
which covers less on that scale in simulations. `figure_ranges` cuts what reaches too far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from tumor_ratio.metrics.aggregation import Interval

FloatArray = NDArray[np.float64]
Figure = Callable[[FloatArray, int], FloatArray]
"""From (..., K) means over cases, and the number of cases behind them, to (...) figures."""

NO_INTERVAL: Final = Interval(math.nan, math.nan)

_EDGE = 1e-12  # keeps perfect agreement finite
_CHUNK = 4_000_000  # numbers held at once


class Scale(NamedTuple):
    """To a scale on which an interval is symmetric, and back."""

    to: Callable[[ArrayLike], FloatArray]
    back: Callable[[ArrayLike], FloatArray]


PLAIN: Final = Scale(np.asarray, np.asarray)
CORRELATION: Final = Scale(lambda v: np.arctanh(np.clip(v, _EDGE - 1, 1 - _EDGE)), np.tanh)
POSITIVE: Final = Scale(lambda v: np.log(np.maximum(v, _EDGE)), np.exp)


def without_each(case_values: FloatArray) -> FloatArray:
    """(C, K) means over all cases but one, for each of (C, K) numbers of at least two cases."""
    return (case_values.sum(axis=0) - case_values) / (len(case_values) - 1)


def jackknife_interval(
    value: float, left_out: ArrayLike, confidence: float = 0.95, scale: Scale = PLAIN
) -> Interval:
    """Student's t interval with the standard error of the delete-one jackknife.

    Tukey, Annals of Mathematical Statistics 1958; 29: 614; C - 1 degrees of freedom.

    Parameters
    ----------
    value : the figure on all cases.
    left_out : (C,) the figure without each case.
    confidence : of the two-sided interval.
    scale : on which the interval is symmetric.

    Returns
    -------
    Interval
        NaN with fewer than two cases, and where the figure is undefined without one of them.
    """
    others = np.asarray(left_out, dtype=np.float64)
    n = others.size
    if n < 2 or not math.isfinite(value) or not np.isfinite(others).all():
        return NO_INTERVAL
    centre = float(scale.to(value))
    error = math.sqrt((n - 1) / n * float(np.square(_centred(scale.to(others))).sum()))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * error
    lower, upper = (float(scale.back(centre + sign * half)) for sign in (-1, 1))
    return Interval(lower, upper)


def bootstrap_t_interval(
    case_values: ArrayLike,
    figure: Figure,
    confidence: float = 0.95,
    *,
    scale: Scale = PLAIN,
    n_resamples: int = 999,
    seed: int = 0,
) -> Interval:
    """Bootstrap-t: the t statistic's own distribution, from cases drawn with replacement.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5. The standard error
    is the jackknife's, in each resample as in the sample.

    Parameters
    ----------
    case_values : (C, K) or (C,) numbers of each case.
    figure : of their means.
    confidence : of the two-sided interval.
    scale : on which the statistic is formed.
    n_resamples : draws; those without spread (the same case over and over) are left out.
    seed : of the draws.

    Returns
    -------
    Interval
        NaN with fewer than two cases, or an undefined figure.
    """
    table = np.asarray(case_values, dtype=np.float64)
    table = table.reshape(len(table), -1)
    n = len(table)
    if n < 2:
        return NO_INTERVAL
    centre = float(scale.to(figure(table.mean(axis=0), n)))
    others = scale.to(figure(without_each(table), n - 1))
    error = math.sqrt((n - 1) / n * float(np.square(_centred(others)).sum()))
    if not (math.isfinite(centre) and math.isfinite(error)):
        return NO_INTERVAL
    drawn = [
        _t_statistics(table, counts, figure, scale, centre)
        for counts in _counts(n, table.shape[1], n_resamples, seed)
    ]
    statistics = np.concatenate(drawn)
    statistics = statistics[np.isfinite(statistics)]
    if statistics.size == 0:  # no spread between cases at all
        return Interval(*(float(scale.back(centre)) for _ in range(2)))
    low, high = np.quantile(statistics, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(
        float(scale.back(centre - high * error)),
        float(scale.back(centre - low * error)),
    )


def _counts(n: int, width: int, n_resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each resample holds each case, some resamples at a time."""
    rng = np.random.default_rng(seed)
    most = max(1, _CHUNK // (n * width))
    for start in range(0, n_resamples, most):
        size = min(most, n_resamples - start)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)


def _t_statistics(
    table: FloatArray, counts: FloatArray, figure: Figure, scale: Scale, centre: float
) -> FloatArray:
    n = len(table)
    sums = counts @ table
    found = scale.to(figure(sums / n, n))
    others = scale.to(figure((sums[:, None, :] - table) / (n - 1), n - 1))
    # A case that was not drawn cannot be left out; what it gave may be undefined.
    others = np.where(counts > 0, others, 0.0)
    middle = (counts * others).sum(axis=1, keepdims=True) / n
    error = np.sqrt((n - 1) / n * (counts * np.square(others - middle)).sum(axis=1))
    spread = error > _EDGE
    return np.divide(found - centre, error, out=np.full(len(counts), np.nan), where=spread)


def _centred(values: FloatArray) -> FloatArray:
    return values - values.mean()
