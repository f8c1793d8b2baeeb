"""Every figure of one approach on one kind of unit: regions, tiles or slides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np

from tumor_ratio.metrics.aggregation import Interval, student_interval
from tumor_ratio.metrics.agreement import (
    BIN_NAMES,
    REGION_METRICS,
    absolute_error,
    bin_of,
    signed_error,
)
from tumor_ratio.metrics.bin_agreement import BIN_FIGURES
from tumor_ratio.metrics.figure_ranges import IN_BIN
from tumor_ratio.metrics.moments import (
    MOMENT_FIGURES,
    case_moments,
    moments_of,
    pearson_within,
    within_slides,
)
from tumor_ratio.metrics.paired_values import FloatArray, PairedValues
from tumor_ratio.metrics.rank_agreement import pooled_ranks, ranked_sample, ranks_within
from tumor_ratio.metrics.resampling import (
    CORRELATION,
    NO_INTERVAL,
    PLAIN,
    POSITIVE,
    Figure,
    Scale,
    jackknife_interval,
    without_each,
)

Aggregation = Literal["slide_macro", "pooled"]

MACRO: Final = (*REGION_METRICS, "bias", *IN_BIN)
POOLED: Final = (*MOMENT_FIGURES, *BIN_FIGURES, "spearman", "kendall")
SHARES: Final = ("within_0_05", "within_0_1", "within_0_2", "bin_accuracy")
WITHIN: Final[dict[str, Aggregation]] = {
    "pearson_within": "pooled",
    "spearman_within": "slide_macro",
    "kendall_within": "slide_macro",
}
"""Not of slides, which have one value each."""

SCALES: Final[dict[str, Scale]] = {
    "rmse": POSITIVE,
    **dict.fromkeys(
        ("pearson", "pearson_within", "spearman", "kendall", "quadratic_kappa"), CORRELATION
    ),
}
"""On which an interval is symmetric; plain where not named."""


class Score(NamedTuple):
    """One figure with its interval (NaN where none is given) and what is behind it.

    `aggregation`: `slide_macro`, the mean over slides of a number of each slide; `pooled`, one
    number of all rows together, in which each slide weighs the same.
    """

    metric: str
    aggregation: Aggregation
    value: float
    interval: Interval
    n_slides: int
    n_units: int


def aggregations(within: bool) -> dict[str, Aggregation]:
    """How each metric is put together, in the order of the scores.

    Parameters
    ----------
    within : whether a slide has several rows, and thus correlations within.
    """
    return {
        **dict.fromkeys(MACRO, "slide_macro"),
        **dict.fromkeys(POOLED, "pooled"),
        **(WITHIN if within else {}),
    }


def undefined_scores(within: bool) -> Iterator[Score]:
    """The same metrics, all NaN, for an approach that lacks a value."""
    for name, aggregation in aggregations(within).items():
        yield Score(name, aggregation, math.nan, NO_INTERVAL, 0, 0)


def unit_scores(values: PairedValues, confidence: float, *, within: bool) -> Iterator[Score]:
    """All metrics of one approach's values, with their intervals over cases.

    Parameters
    ----------
    values : at least one row.
    confidence : of the intervals.
    within : whether a slide has several rows.
    """
    confusions = slide_confusions(values)
    yield from _macro_scores(values, confusions, confidence)
    yield from _moment_scores(values, confidence)
    yield from _bin_scores(values, confusions, confidence)
    sample = ranked_sample(values)
    yield from _rank_scores(sample, confidence)
    if within:
        yield _pooled("pearson_within", within_slides(values), _pearson_within, values, confidence)
        for name, found in zip(
            ("spearman_within", "kendall_within"), ranks_within(sample), strict=True
        ):
            yield _macro(name, found, sample, len(sample), confidence)


def _macro_scores(
    values: PairedValues, confusions: FloatArray, confidence: float
) -> Iterator[Score]:
    means = {
        name: values.slide_means(loss(values.predicted, values.measured))
        for name, loss in {**REGION_METRICS, "bias": signed_error}.items()
        if name != "bin_accuracy"  # the confusions know it
    }
    means["bin_accuracy"] = np.trace(confusions, axis1=1, axis2=2) / values.rows
    for name, slide_values in means.items():
        yield _macro(name, slide_values, values, len(values), confidence)
    rows = confusions.sum(axis=2)
    error = absolute_error(values.predicted, values.measured)
    place = values.slide * len(IN_BIN) + bin_of(values.measured)
    total = np.bincount(place, error, rows.size).reshape(rows.shape)
    in_bin = np.divide(total, rows, out=np.full(rows.shape, math.nan), where=rows > 0)
    for index, name in enumerate(IN_BIN):
        yield _macro(name, in_bin[:, index], values, int(rows[:, index].sum()), confidence)


def _macro(
    name: str, slide_values: FloatArray, values: PairedValues, n_units: int, confidence: float
) -> Score:
    """Mean over the cases of a number of each slide; slides without it are left out."""
    cases = values.over_cases(slide_values)
    value = float(cases.mean()) if cases.size else math.nan
    n_slides = int(np.isfinite(slide_values).sum())
    interval = student_interval(cases, confidence)
    if name in SHARES and not _spreads(interval):
        interval = NO_INTERVAL
    return Score(name, "slide_macro", value, interval, n_slides, n_units)


def _spreads(interval: Interval) -> bool:
    """Whether an interval of hits says anything: all cases alike, all hit, are no certainty."""
    return interval.upper > interval.lower


def _moment_scores(values: PairedValues, confidence: float) -> Iterator[Score]:
    table = case_moments(values)
    for name in MOMENT_FIGURES:
        yield _pooled(name, table, moment_figure(name), values, confidence)


def _bin_scores(values: PairedValues, confusions: FloatArray, confidence: float) -> Iterator[Score]:
    shares = confusions.reshape(values.n_slides, -1) / values.rows[:, None]
    table = np.stack([values.over_cases(share) for share in shares.T], axis=-1)
    for name in BIN_FIGURES:
        score = _pooled(name, table, bin_figure(name), values, confidence)
        yield score if _spreads(score.interval) else score._replace(interval=NO_INTERVAL)


def _rank_scores(sample: PairedValues, confidence: float) -> Iterator[Score]:
    ranks = pooled_ranks(sample)
    for name, value, without in (
        ("spearman", ranks.spearman, ranks.spearman_without),
        ("kendall", ranks.kendall, ranks.kendall_without),
    ):
        interval = jackknife_interval(value, without, confidence, SCALES[name])
        yield Score(name, "pooled", value, interval, sample.n_slides, len(sample))


def _pooled(
    name: str, table: FloatArray, figure: Figure, values: PairedValues, confidence: float
) -> Score:
    """A figure of the mean over cases of a table's rows."""
    n = len(table)
    value = float(figure(table.mean(axis=0), n))
    interval = NO_INTERVAL
    if n > 1:
        others = figure(without_each(table), n - 1)
        interval = jackknife_interval(value, others, confidence, SCALES.get(name, PLAIN))
    return Score(name, "pooled", value, interval, values.n_slides, len(values))


def moment_figure(name: str) -> Figure:
    """A figure of `moments.MOMENT_FIGURES` as a function of mean moments and cases."""
    return partial(_of_moments, name)


def bin_figure(name: str) -> Figure:
    """A figure of `bin_agreement.BIN_FIGURES` as a function of mean confusions and cases."""
    return partial(_of_confusions, name)


def slide_confusions(values: PairedValues) -> FloatArray:
    """(S, 3, 3) each slide's rows by measured and predicted bin."""
    n = len(BIN_NAMES)
    cell = (values.slide * n + bin_of(values.measured)) * n + bin_of(values.predicted)
    counts = np.bincount(cell, minlength=values.n_slides * n * n)
    return counts.reshape(values.n_slides, n, n).astype(np.float64)


def _of_moments(name: str, means: FloatArray, n_cases: int) -> FloatArray:
    return MOMENT_FIGURES[name](moments_of(means, n_cases))


def _of_confusions(name: str, means: FloatArray, n_cases: int) -> FloatArray:
    n = len(BIN_NAMES)
    return BIN_FIGURES[name](means.reshape(*means.shape[:-1], n, n))


def _pearson_within(means: FloatArray, n_cases: int) -> FloatArray:
    return pearson_within(means)
