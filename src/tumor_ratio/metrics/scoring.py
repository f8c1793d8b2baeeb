"""The figures of the comparison, one row each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import slide_means
from tumor_ratio.metrics.agreement import Loss, absolute_error, squared_error
from tumor_ratio.metrics.figure_ranges import are_ratios, cut_to_range
from tumor_ratio.metrics.resampling import NO_INTERVAL
from tumor_ratio.metrics.skill import gain, skill, skill_interval
from tumor_ratio.metrics.unit_scores import Score, undefined_scores, unit_scores
from tumor_ratio.metrics.unit_values import area_ratios, units_of, with_codes

SKILLS: Final[dict[str, tuple[Loss, str, str]]] = {
    "mae": (absolute_error, "training_median", "oracle"),
    "mse": (squared_error, "training_mean", "oracle_mean"),
}
"""Loss, constant baseline and ceiling by the name of the metric."""

COLUMNS: Final = [
    "approach", "supervision", "protocol", "reference", "unit", "regions", "output", "metric",
    "aggregation", "value", "lower", "upper", "n_slides", "n_regions", "n_cases", "n_units",
    "n_undefined",
]  # fmt: skip

USED: Final = [
    "approach", "protocol", "repeat", "fold", "slide_id", "case_id", "tile_id", "reference",
    "measured", "measured_um2", "raw", "calibrated", "he_um2", "selected",
]  # fmt: skip

Limits = Mapping[str, tuple[pd.Series | None, pd.Series | None]]


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
    for context, tables in compared_sets(compared):
        limits = skill_limits(tables)
        for approach, table in tables.items():
            own = {
                **context,
                "approach": approach,
                "supervision": supervision.get(approach, ""),
                "n_regions": count_regions(table),
                "n_cases": table["case_id"].nunique(),
            }
            rows += _score_rows(table, limits, own, confidence)
    return pd.DataFrame(rows, columns=COLUMNS)


def compared_sets(
    compared: pd.DataFrame,
) -> Iterator[tuple[dict[str, Any], dict[str, pd.DataFrame]]]:
    """Each protocol, reference and set of regions, with the table of each approach.

    Slides, cases and tiles are numbers in these tables.
    """
    several = any(compared[name].nunique() > 1 for name in ("repeat", "fold"))
    # In a single fold rows are regions, whose many names are then of no use.
    coded = with_codes(compared[[*USED, "region_id"] if several else USED])
    for (protocol, reference), group in coded.groupby(["protocol", "reference"]):
        for regions, part in (("selected", group[group["selected"]]), ("admitted", group)):
            tables = {str(name): table for name, table in part.groupby("approach", sort=False)}
            yield {"protocol": protocol, "reference": reference, "regions": regions}, tables


def count_regions(table: pd.DataFrame) -> int:
    """Distinct regions of one approach's table, as `compared_sets` gives it."""
    return int(table["region_id"].nunique()) if "region_id" in table else len(table)


def _score_rows(
    table: pd.DataFrame, limits: Limits, context: dict[str, Any], confidence: float
) -> Iterator[dict[str, Any]]:
    """Rows of one approach on one set of regions: both outputs, all units."""
    for output in ("raw", "calibrated"):
        for unit, values, n_undefined in units_of(table, output):
            within = unit != "slide"
            scores = (
                list(undefined_scores(within))
                if values is None
                else list(unit_scores(values, confidence, within=within))
            )
            if unit == "region":
                scores += skill_scores(table, limits, output, confidence)
            ratios = values is not None and are_ratios(values.predicted)
            for score in scores:
                interval = cut_to_range(score.metric, score.interval, score.value, ratios=ratios)
                yield {
                    **context,
                    "output": output,
                    "unit": unit,
                    "n_undefined": n_undefined,
                    "metric": score.metric,
                    "aggregation": score.aggregation,
                    "value": score.value,
                    "lower": interval.lower,
                    "upper": interval.upper,
                    "n_slides": score.n_slides,
                    "n_units": score.n_units,
                }


def skill_limits(tables: Mapping[str, pd.DataFrame]) -> Limits:
    """Losses by case of the constant baseline and of the ceiling, by the name of the metric.

    Both are taken raw: a constant and an oracle have nothing to calibrate.
    """
    return {
        name: (
            case_losses(tables.get(baseline), "raw", loss),
            case_losses(tables.get(ceiling), "raw", loss),
        )
        for name, (loss, baseline, ceiling) in SKILLS.items()
    }


def skill_scores(
    table: pd.DataFrame, limits: Limits, output: str, confidence: float
) -> Iterator[Score]:
    """Gain over the constant baseline and skill, where they are defined, with their intervals."""
    n_slides = table["slide_id"].nunique()
    for name, (base, best) in limits.items():
        own = case_losses(table, output, SKILLS[name][0])
        found, share = (math.nan, NO_INTERVAL), (math.nan, NO_INTERVAL)
        if base is not None and own is not None:
            found = gain(base, own, confidence)
            if best is not None:
                share = (
                    skill(base, own, best, confidence),
                    skill_interval(base, own, best, confidence),
                )
        yield Score(f"gain_{name}", "slide_macro", *found, n_slides, len(table))
        yield Score(f"skill_{name}", "pooled", *share, n_slides, len(table))


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
        area_ratios(table, output, "slide_id")
        .reset_index(names="slide_id")
        .assign(approach=approach)
        for approach, table in compared.groupby("approach", sort=False)
    ]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def case_losses(table: pd.DataFrame | None, output: str, loss: Loss) -> pd.Series | None:
    """Mean loss of each case; None where the approach or one of its values is missing.

    Regions, and the repeats of each, are averaged within their slide, slides within their case.
    """
    if table is None or table.empty or table[output].isna().any():
        return None
    values = loss(table[output].to_numpy(np.float64), table["measured"].to_numpy(np.float64))
    slides = slide_means(values, table["slide_id"])
    case_of = table.drop_duplicates("slide_id").set_index("slide_id")["case_id"]
    return slides.groupby(case_of.reindex(slides.index)).mean()
