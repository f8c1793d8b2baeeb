"""The result in a few plain sentences and large numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from tumor_ratio.reporting.comparison_tables import CONSTANT
from tumor_ratio.reporting.headline import Headline, best_model, pick, quantity_of
from tumor_ratio.reporting.html_report import KeyFigure
from tumor_ratio.reporting.results_text import counted, interval, number, p_value

BESIDE = (CONSTANT, "ridge", "oracle")

CHANCE = 0.05
"""A difference with a p-value of this or more is not told from chance."""

SYNTHETIC = (
    "slides are synthetic (phantoms): the figures show that the pipeline works, and say nothing of "
    "real slides."
)


def with_tests(table: pd.DataFrame, paired: pd.DataFrame, headline: Headline) -> pd.DataFrame:
    """The headline table with the tests of its models against the constant.

    Parameters
    ----------
    table : what `headline_table` gives.
    paired : `schemas.PairedComparisons`.
    headline : of both.

    Returns
    -------
    DataFrame
        With `p_median`, adjusted by Holm's method; NaN for what was not tested: baselines, oracle.
    """
    own = pick(paired, headline)
    own = own[own["approach_b"] == CONSTANT].set_index("approach_a")
    return table.assign(p_median=own["p_holm"].reindex(table.index).astype(float))


def answer_of(
    table: pd.DataFrame,
    headline: Headline,
    region_um: float,
    confidence: float,
    *,
    synthetic: Literal["", "Some", "All"],
) -> list[str]:
    """Which model is best, how far off, whether beyond chance; then the others and the ceiling.

    Parameters
    ----------
    table : what `with_tests` gives.
    headline : which scores it was given.
    region_um : side of a region; NaN where there is none.
    confidence : of the intervals.
    synthetic : how many of the slides are phantoms; empty for none.
    """
    best = best_model(table)
    if best is None:
        return ["No model could be scored; what is missing is said below."]
    rows = _rows(table)
    first = rows[best]
    models = {name: row for name, row in rows.items() if row["role"] == "model"}
    side = f", {region_um:.0f} µm wide" if math.isfinite(region_um) else ""
    calibrated = ", calibrated," if headline.output == "calibrated" else ""
    which = f"Best of {len(models)} approaches" if len(models) > 1 else "The approach"
    sentences = [
        f"{which}: {best}{calibrated} estimates {quantity_of(headline)}, a share from 0 to 1, and "
        f"is off by {number(first['region_mae'])} on average (mean absolute error; "
        f"{counted(first['n_slides'], 'test slide')}, "
        f"{counted(first['n_regions'], 'region')}{side})."
    ]
    if CONSTANT in rows and math.isfinite(first["region_gain_mae"]):
        sentences += [
            "Always answering the median of the training slides is off by "
            f"{number(rows[CONSTANT]['region_mae'])}: {best}’s error is "
            f"{against_median(first, confidence)}, {_verdict(first)}.",
            *_groups(models, best, confidence),
        ]
    if "oracle" in rows:
        sentences.append(_ceiling(best, first, rows["oracle"], confidence))
    return [*sentences, f"{synthetic} {SYNTHETIC}"] if synthetic else sentences


def key_figures(table: pd.DataFrame) -> list[KeyFigure]:
    """The primary metric of the models, the constant, the ridge and the oracle."""
    return [
        KeyFigure(
            f"MAE, {name}",
            number(row["region_mae"]),
            "the constant to beat" if name == CONSTANT else _beside(row),
        )
        for name, row in _rows(table).items()
        if row["role"] == "model" or name in BESIDE
    ]


def against_median(row: Mapping[str, Any] | pd.Series, confidence: float) -> str:
    """The error beside the constant's, in per cent, never without the interval and, if any, the p.

    Parameters
    ----------
    row : of what `with_tests` gives.
    confidence : of the interval.
    """
    difference, lower, upper = _difference(row)
    if not math.isfinite(difference):
        return "not comparable with it"
    said = [f"difference {number(difference)}"]
    if bounds := interval(lower, upper):
        said.append(f"{confidence:.0%} interval {bounds}")
    if math.isfinite(row["p_median"]):
        said.append(f"p {_equals(row['p_median'])}")
    return f"{_much(row)} ({', '.join(said)})"


def is_beyond_chance(row: Mapping[str, Any]) -> bool:
    """Whether interval and adjusted test both tell the error from the constant's."""
    _, lower, upper = _difference(row)
    return (lower > 0 or upper < 0) and float(row["p_median"]) < CHANCE


def _verdict(row: Mapping[str, Any]) -> str:
    if not math.isfinite(row["p_median"]):
        return "not tested: too few slides"
    return "beyond chance" if is_beyond_chance(row) else "not beyond chance"


def _groups(models: Mapping[str, Mapping[str, Any]], best: str, confidence: float) -> list[str]:
    """The other models by how they stand to the constant."""
    others = {name: row for name, row in models.items() if name != best}
    told = {name for name, row in others.items() if is_beyond_chance(row)}
    better = [name for name in told if others[name]["region_gain_mae"] > 0]
    groups = {
        "Also better than that constant, beyond chance": better,
        "Worse than it, beyond chance": [name for name in told if name not in better],
        "Neither better nor worse than it beyond chance": [
            name for name in others if name not in told
        ],
    }
    return [
        f"{title}: "
        + "; ".join(
            f"{name}, off by {number(row['region_mae'])}, {against_median(row, confidence)}"
            for name, row in others.items()
            if name in names
        )
        + "."
        for title, names in groups.items()
        if names
    ]


def _ceiling(
    best: str, row: Mapping[str, Any], oracle: Mapping[str, Any], confidence: float
) -> str:
    said = (
        f"The oracle, which knows the H&E section’s true nuclei and can only err by how the "
        f"sections differ, is off by {number(oracle['region_mae'])}."
    )
    if not math.isfinite(row["region_skill_mae"]):
        return said
    bounds = interval(row["region_skill_mae_lower"], row["region_skill_mae_upper"], 2)
    bounds = f", {confidence:.0%} interval {bounds}" if bounds else ""
    return (
        f"{said} Of the way from the constant to it {best} goes "
        f"{number(row['region_skill_mae'], 2)} (its skill{bounds})."
    )


def _beside(row: Mapping[str, Any]) -> str:
    """In a few words, and never without p or interval."""
    if not math.isfinite(row["region_gain_mae"]):
        return "not comparable with the median’s"
    _, lower, upper = _difference(row)
    bounds = interval(lower, upper)
    tested = math.isfinite(row["p_median"])
    sure = f"p {_equals(row['p_median'])}" if tested else f"difference {bounds}" if bounds else ""
    return ", ".join(filter(None, (f"beside the median’s: {_much(row)}", sure)))


def _much(row: Mapping[str, Any] | pd.Series) -> str:
    """How the error stands to the constant's: 22% less."""
    share = float(row["relative_gain_mae"])
    if not math.isfinite(share):
        return "other"
    if abs(share) < 0.005:
        return "the same"
    return f"{abs(share):.0%} {'less' if share > 0 else 'more'}"


def _difference(row: Mapping[str, Any] | pd.Series) -> tuple[float, float, float]:
    """The error minus the constant's, and its interval."""
    gain, lower, upper = (float(row[f"region_gain_mae{end}"]) for end in ("", "_lower", "_upper"))
    return -gain, -upper, -lower


def _equals(p: float) -> str:
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"


def _rows(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        str(name): {str(column): value for column, value in row.items()}
        for name, row in table.iterrows()
    }
