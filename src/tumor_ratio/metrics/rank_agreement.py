"""Do higher measured ratios get higher predictions? Over all regions, and inside slides."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, weightedtau

from tumor_ratio.metrics.agreement import spearman
from tumor_ratio.metrics.paired_values import FloatArray, IntArray, PairedValues

MOST_RANKED: Final = 50_000
"""Ranks of more rows are those of a random sample of about this many, slides in equal parts."""

_LEVELS: Final = 64  # of either variable where a case is left out; the spread needs no more


class RankAgreement(NamedTuple):
    """Correlations over all rows, and each as it is without one case after the other, (C,)."""

    spearman: float
    kendall: float
    spearman_without: FloatArray
    kendall_without: FloatArray


def ranked_sample(values: PairedValues, most: int = MOST_RANKED, seed: int = 0) -> PairedValues:
    """All rows, or of more than `most` a random sample of about so many.

    Slides give equal parts, or all they have.
    """
    if len(values) <= most:
        return values
    rows = np.bincount(values.slide, minlength=values.n_slides)
    share = most / values.n_slides / rows
    drawn = np.random.default_rng(seed).random(len(values)) < share[values.slide]
    return values.only(drawn)


def pooled_ranks(values: PairedValues) -> RankAgreement:
    """Spearman's and Kendall's (tau-b) correlation over all rows, each case weighing the same.

    Pairs of rows weigh the product of their weights. NaN where either variable is constant.
    """
    weights = values.weights
    ranks = [_mid_ranks(each, weights) for each in (values.predicted, values.measured)]
    left_out = _without_each_case(values, ranks)
    if len(values) < 2 or any(np.ptp(each) == 0 for each in (values.predicted, values.measured)):
        return RankAgreement(math.nan, math.nan, *left_out)
    tau = weightedtau(
        values.predicted,
        values.measured,
        rank=np.arange(len(values)),
        weigher=weights.__getitem__,
        additive=False,
    ).statistic
    return RankAgreement(_correlation(ranks[0], ranks[1], weights), float(tau), *left_out)


def ranks_within(values: PairedValues) -> tuple[FloatArray, FloatArray]:
    """Spearman's and Kendall's (tau-b) correlation inside each slide.

    Returns
    -------
    two (S,) float64
        NaN for a slide in which either variable is constant.
    """
    order = np.argsort(values.slide, kind="stable")
    ends = np.cumsum(np.bincount(values.slide, minlength=values.n_slides))[:-1]
    found = [
        _ranks(values.predicted[rows], values.measured[rows]) for rows in np.split(order, ends)
    ]
    pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _ranks(predicted: FloatArray, measured: FloatArray) -> tuple[float, float]:
    if len(predicted) < 2 or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return math.nan, math.nan
    return spearman(predicted, measured), float(kendalltau(predicted, measured).statistic)


def _mid_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weight below each value and half of that at it."""
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights, len(distinct))
    return (np.cumsum(mass) - mass / 2)[place]


def _correlation(one: FloatArray, two: FloatArray, weights: FloatArray) -> float:
    a, b = one - np.average(one, weights=weights), two - np.average(two, weights=weights)
    spread = math.sqrt(float((weights * a * a).sum() * (weights * b * b).sum()))
    return float((weights * a * b).sum()) / spread if spread > 0 else math.nan


def _without_each_case(
    values: PairedValues, ranks: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Both correlations without each case, on ranks rounded to a few levels."""
    rows, columns = (_levels(each, values.n_cases) for each in ranks)
    shape = (int(rows.max(initial=0)) + 1, int(columns.max(initial=0)) + 1)
    cells, size = rows * shape[1] + columns, shape[0] * shape[1]
    total = np.bincount(cells, values.weights, size)
    order = np.argsort(values.case, kind="stable")
    ends = np.cumsum(np.bincount(values.case, minlength=values.n_cases))[:-1]
    found = []
    for own in np.split(order, ends):
        rest = total - np.bincount(cells[own], values.weights[own], size)
        table = np.where(rest > 1e-9, rest, 0.0).reshape(shape)
        found.append((_table_spearman(table), _table_kendall(table)))
    pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _levels(ranks: FloatArray, total: float) -> IntArray:
    distinct, place = np.unique(ranks, return_inverse=True)
    if len(distinct) <= _LEVELS:
        return place.astype(np.int64)
    return np.minimum(ranks / total * _LEVELS, _LEVELS - 1).astype(np.int64)


def _table_spearman(table: NDArray[np.float64]) -> float:
    margins = table.sum(axis=1), table.sum(axis=0)
    below = [np.cumsum(margin) - margin / 2 for margin in margins]
    a, b = (
        rank - np.average(rank, weights=margin) if margin.any() else rank
        for rank, margin in zip(below, margins, strict=True)
    )
    spread = math.sqrt(float((margins[0] * a * a).sum() * (margins[1] * b * b).sum()))
    return float(a @ table @ b) / spread if spread > 0 else math.nan


def _table_kendall(table: NDArray[np.float64]) -> float:
    """tau-b of a table whose entries are weights."""
    above = np.cumsum(table, axis=0) - table  # rows before this one
    before = np.cumsum(above, axis=1) - above
    after = above.sum(axis=1, keepdims=True) - before - above
    total = float(table.sum()) ** 2
    untied = [total - float(np.square(table.sum(axis=axis)).sum()) for axis in (0, 1)]
    spread = math.sqrt(max(untied[0], 0.0) * max(untied[1], 0.0))
    return 2 * float((table * (before - after)).sum()) / spread if spread > 1e-9 else math.nan
