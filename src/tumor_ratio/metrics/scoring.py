"""The figures of the comparison, one row each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import (
    Interval,
    slide_means,
    slide_ratios,
    slide_weights,
    student_interval,
)
from tumor_ratio.metrics.agreement import (
    REGION_METRICS,
    Loss,
    absolute_error,
    balanced_accuracy,
    squared_error,
)
from tumor_ratio.metrics.skill import gain, skill

SKILLS: Final[dict[str, tuple[Loss, str, str]]] = {
    "mae": (absolute_error, "training_median", "oracle"),
    "mse": (squared_error, "training_mean", "oracle_mean"),
}
"""Loss, constant baseline and ceiling by the name of the metric."""

COLUMNS: Final = [
    "approach", "supervision", "protocol", "reference", "unit", "regions", "output", "metric",
    "value", "lower", "upper", "n_slides", "n_regions",
]  # fmt: skip

Limits = Mapping[str, tuple[pd.Series | None, pd.Series | None]]

_NO_INTERVAL: Final = Interval(math.nan, math.nan)


class Score(NamedTuple):
    """One figure with its interval (NaN where none is given)."""

    metric: str
    value: float
    interval: Interval = _NO_INTERVAL


def score_table(
    compared: pd.DataFrame, approaches: pd.DataFrame, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Scores of every approach by protocol, reference, set of regions, output and unit.

    Parameters
    ----------
    compared : `schemas.ComparedRegions`.
    approaches : `schemas.Approaches`; those not scored get no row.
    confidence : of the intervals.

    Returns
    -------
    DataFrame
        `schemas.Scores`. An output that is NaN in any region of a set (e.g. no calibration was
        possible) is scored NaN rather than on fewer regions than the others.
    """
    supervision = dict(zip(approaches["approach"], approaches["supervision"], strict=True))
    rows: list[dict[str, Any]] = []
    # As numbers the slides' names are told apart in a hundredth of the time.
    compared = compared.assign(slide_id=pd.factorize(compared["slide_id"], sort=True)[0])
    for (protocol, reference), group in compared.groupby(["protocol", "reference"]):
        for regions, part in (("selected", group[group["selected"]]), ("admitted", group)):
            tables = {str(name): table for name, table in part.groupby("approach", sort=False)}
            limits = skill_limits(tables)
            for approach, table in tables.items():
                context = {
                    "approach": approach,
                    "supervision": supervision.get(approach, ""),
                    "protocol": protocol,
                    "reference": reference,
                    "regions": regions,
                    "n_slides": table["slide_id"].nunique(),
                    "n_regions": table["region_id"].nunique(),
                }
                rows += _score_rows(table, limits, context, confidence)
    return pd.DataFrame(rows, columns=COLUMNS)


def _score_rows(
    table: pd.DataFrame, limits: Limits, context: dict[str, Any], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of one approach on one set of regions: both outputs, both units."""
    for output in ("raw", "calibrated"):
        by_unit = {
            "region": [
                *region_scores(table, output, confidence),
                *skill_scores(table, limits, output, confidence),
            ],
            "slide": slide_scores(table, output, confidence),
        }
        for unit, scores in by_unit.items():
            for metric, value, (lower, upper) in scores:
                figure = {"metric": metric, "value": value, "lower": lower, "upper": upper}
                yield {**context, "output": output, "unit": unit, **figure}


def region_scores(table: pd.DataFrame, output: str, confidence: float) -> Iterator[Score]:
    """Slide-macro figures of one approach's regions, each with its Student's t interval.

    Balanced accuracy weighs every slide the same as well; it has no interval here.
    """
    predicted = table[output].to_numpy(dtype=np.float64)
    measured = table["measured"].to_numpy(dtype=np.float64)
    defined = len(table) > 0 and bool(np.isfinite(predicted).all())
    for name, loss in REGION_METRICS.items():
        if not defined:
            yield Score(name, math.nan)
            continue
        means = slide_means(loss(predicted, measured), table["slide_id"])
        yield Score(name, float(means.mean()), student_interval(means, confidence))
    weights = slide_weights(table["slide_id"])
    balanced = balanced_accuracy(predicted, measured, weights) if defined else math.nan
    yield Score("balanced_accuracy", balanced)


def slide_scores(table: pd.DataFrame, output: str, confidence: float) -> Iterator[Score]:
    """Figures of one approach's slide ratios, each slide one number.

    The measured ratio of a slide is weighted by the regions' nuclear area on IHC, the predicted one
    by that on H&E. Repeats pool within the slide.
    """
    slides = _slide_ratios(table, output)
    defined = len(slides) > 0 and bool(slides.notna().all(axis=None))
    predicted, measured = slides["predicted"].to_numpy(), slides["measured"].to_numpy()
    for name, loss in REGION_METRICS.items():
        if not defined:
            yield Score(name, math.nan)
            continue
        values = loss(predicted, measured)
        yield Score(name, float(values.mean()), student_interval(values, confidence))
    balanced = balanced_accuracy(predicted, measured) if defined else math.nan
    yield Score("balanced_accuracy", balanced)


def skill_limits(tables: Mapping[str, pd.DataFrame]) -> Limits:
    """Slide losses of the constant baseline and of the ceiling, by the name of the metric.

    Both are taken raw: a constant and an oracle have nothing to calibrate.
    """
    return {
        name: (
            slide_losses(tables.get(baseline), "raw", loss),
            slide_losses(tables.get(ceiling), "raw", loss),
        )
        for name, (loss, baseline, ceiling) in SKILLS.items()
    }


def skill_scores(
    table: pd.DataFrame, limits: Limits, output: str, confidence: float
) -> Iterator[Score]:
    """Gain over the constant baseline, with its paired interval, and skill where it is defined."""
    for name, (base, best) in limits.items():
        own = slide_losses(table, output, SKILLS[name][0])
        if base is None or own is None:
            yield Score(f"gain_{name}", math.nan)
            yield Score(f"skill_{name}", math.nan)
            continue
        yield Score(f"gain_{name}", *gain(base, own, confidence))
        share = math.nan if best is None else skill(base, own, best, confidence)
        yield Score(f"skill_{name}", share)


def slide_table(compared: pd.DataFrame, output: str) -> pd.DataFrame:
    """Measured and predicted ratio of each slide by each approach.

    Parameters
    ----------
    compared : `schemas.ComparedRegions` of one reference.
    output : "raw" or "calibrated".

    Returns
    -------
    DataFrame
        approach, slide_id, measured, predicted (NaN where no region has nuclear area).
    """
    columns = ["approach", "slide_id", "measured", "predicted"]
    parts = [
        _slide_ratios(table, output).reset_index(names="slide_id").assign(approach=approach)
        for approach, table in compared.groupby("approach", sort=False)
    ]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def _slide_ratios(table: pd.DataFrame, output: str) -> pd.DataFrame:
    slides = table["slide_id"]
    return pd.DataFrame(
        {
            "measured": slide_ratios(table["measured"], table["measured_um2"], slides),
            "predicted": slide_ratios(table[output], table["he_um2"], slides),
        }
    )


def slide_losses(table: pd.DataFrame | None, output: str, loss: Loss) -> pd.Series | None:
    """Mean loss of each slide; None where the approach or one of its values is missing."""
    if table is None or table.empty or table[output].isna().any():
        return None
    values = loss(table[output].to_numpy(np.float64), table["measured"].to_numpy(np.float64))
    return slide_means(values, table["slide_id"])
