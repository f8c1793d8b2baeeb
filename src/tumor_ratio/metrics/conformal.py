"""Intervals for slides that nobody has measured: split conformal prediction over slides.

Calibration slides served neither training, nor the choice of an epoch, a map or a threshold. On
each, the score of an answer p against the measured ratio y is |y - p| / s, where s
(`expected_error`) is known from the H&E side alone. A new answer's interval is p -+ q s, with q a
quantile of the scores.

The guarantee is marginal, over new slides and calibrations together, and rests on one condition:
the new slide is exchangeable with the calibration slides.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

COVERAGE = 0.9
"""Share of new answers whose interval holds the measured ratio."""

MIN_UNITS = 9
"""The smallest n with ceil((n + 1) 0.9) <= n."""

NUCLEUS_UM2 = 50.0
"""Area of one nucleus, about; turns nuclear area into a number of nuclei."""
CLUSTERING = 0.02
"""Correlation of the states of two nuclei of one region or slide."""
FLOOR = 0.02
"""What an answer is expected to err where no nucleus is predicted positive."""

_ROUNDING = 1e-9


class ConformalQuantile(NamedTuple):
    """A quantile of calibration scores.

    Parameters
    ----------
    value : half the width of an interval, in expected errors; NaN where there is none.
    n_units : independent units behind it (slides, or cases where a case has several slides).
    rank : k = ceil((n + 1) coverage). With one score a unit the value is the k-th smallest.
    reason : why there is no value; empty where there is one.
    """

    value: float
    n_units: int
    rank: int
    reason: str


def expected_error(ratio: ArrayLike, nuclear_um2: ArrayLike) -> FloatArray:
    """How far a ratio is expected to be off, from what is known at prediction; a shape, no size.

    The standard deviation of a beta-binomial share, with a floor, n = area / 50 um2 nuclei (at
    least one) and the correlation rho = 0.02 of their states:

        s^2 = 0.02^2 + p (1 - p) (1 + (n - 1) rho) / n

    Nothing is fitted: scores put its size right, and a wrong shape costs width, never coverage.

    Parameters
    ----------
    ratio : any shape, predicted (calibrated) ratios in [0, 1]; NaN stays NaN.
    nuclear_um2 : the same shape, nuclear area of the region or slide; NaN and negative count as 0.
    """
    p = np.asarray(ratio, dtype=np.float64)
    area = np.nan_to_num(np.asarray(nuclear_um2, dtype=np.float64), nan=0.0)
    n = np.maximum(area / NUCLEUS_UM2, 1.0)
    return np.sqrt(FLOOR**2 + p * (1 - p) * (1 + (n - 1) * CLUSTERING) / n)


def conformity_scores(predicted: ArrayLike, measured: ArrayLike, error: ArrayLike) -> FloatArray:
    """|y - p| / s, each of any one shape; NaN where one of them is."""
    difference = np.asarray(measured, dtype=np.float64) - np.asarray(predicted, dtype=np.float64)
    return np.abs(difference) / np.asarray(error, dtype=np.float64)


def rank_of(n_units: int, coverage: float = COVERAGE) -> int:
    """Give k = ceil((n + 1) coverage): the k-th smallest of n scores covers k / (n + 1)."""
    return math.ceil((n_units + 1) * coverage - _ROUNDING)


def conformal_quantile(
    scores: ArrayLike,
    units: ArrayLike,
    slides: ArrayLike | None = None,
    *,
    coverage: float = COVERAGE,
) -> ConformalQuantile:
    """The quantile of scores that serves a new unit.

    With n units, unit i holding m_i slides, and its slide j holding N_ij scores s_ijl, it is the
    `coverage` quantile (the smallest value whose distribution function reaches it) of

        sum_i 1 / (n + 1) sum_j 1 / m_i sum_l 1 / N_ij delta(s_ijl)  +  1 / (n + 1) delta(infinity)

    the last term standing for the new unit, of which no score is known. With one slide a unit this
    is hierarchical conformal prediction (Lee, Barber and Willett, arXiv 2306.06342): one region
    drawn from a new slide is covered at least as often as `coverage`, a slide with many regions
    counting as one with few. With one score a unit it is split conformal prediction, the k-th
    smallest of n scores, k = ceil((n + 1) coverage), which covers k / (n + 1).

    Parameters
    ----------
    scores : (N,) float; what is not finite is left out.
    units : (N,) the independent unit of each: the case, or the slide.
    slides : (N,) the slide of each; by default its unit.
    coverage : in (0, 1).
    """
    score, unit = np.asarray(scores, dtype=np.float64), np.asarray(units)
    slide = unit if slides is None else np.asarray(slides)
    used = np.isfinite(score)
    score, unit, slide = score[used], unit[used], slide[used]
    n_units = len(np.unique(unit))
    rank = rank_of(n_units, coverage)
    if n_units < max(1, rank):
        reason = f"{n_units} independent calibration slides are too few for {coverage:.0%} coverage"
        return ConformalQuantile(math.nan, n_units, rank, reason)
    weights = _equal_shares(unit, slide) / (n_units + 1)
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, coverage - _ROUNDING))
    return ConformalQuantile(float(score[order][place]), n_units, rank, "")


def ratio_bounds(
    ratio: ArrayLike, error: ArrayLike, quantile: float
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bound, p -+ q s, within [0, 1]; NaN where one of the three is."""
    p = np.asarray(ratio, dtype=np.float64)
    half = quantile * np.asarray(error, dtype=np.float64)
    return np.clip(p - half, 0, 1), np.clip(p + half, 0, 1)


def _equal_shares(unit: NDArray[np.generic], slide: NDArray[np.generic]) -> FloatArray:
    """(N,) weights: each unit's sum to 1, each of its slides weighs the same."""
    _, of_unit = np.unique(unit, return_inverse=True)
    _, of_slide = np.unique(slide, return_inverse=True)
    pairs, of_pair = np.unique(np.stack([of_unit, of_slide]), axis=1, return_inverse=True)
    of_pair = of_pair.reshape(-1)
    slides_of_unit = np.bincount(pairs[0])
    return 1.0 / (np.bincount(of_pair)[of_pair] * slides_of_unit[of_unit])
