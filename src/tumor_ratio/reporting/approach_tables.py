"""The figures of one approach as tables of the report."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any, Final

import pandas as pd

from tumor_ratio.reporting.headline import Headline, pick
from tumor_ratio.reporting.html_report import Table
from tumor_ratio.reporting.results_text import interval, number
from tumor_ratio.reporting.undefined import Figures

PRIMARY: Final = "MAE (first number: primary endpoint)"

METRICS: Final = {
    "mae": PRIMARY,
    "rmse": "RMSE",
    "mse": "MSE",
    "bias": "bias",
    "limit_lower": "limit of agreement, lower",
    "limit_upper": "limit of agreement, upper",
    "within_0_05": "share within 0.05",
    "within_0_1": "share within 0.1",
    "within_0_2": "share within 0.2",
    "r2": "R²",
    "ccc": "CCC (Lin)",
    "icc_2_1": "ICC(2,1)",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "bin_accuracy": "bin accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
}

CORRELATIONS: Final = {"pearson": "Pearson", "spearman": "Spearman", "kendall": "Kendall"}

Wanted = tuple[str, str, str]
"""Set of regions, unit, metric."""


def metric_table(scores: pd.DataFrame, approach: str, headline: Headline) -> Table:
    """Every figure with its interval: of regions (both sets), of tiles and of slides.

    Parameters
    ----------
    scores : `schemas.Scores`.
    approach : whose.
    headline : its regions come first; the units after them are of the same.
    """
    columns = metric_columns(headline)
    found = _cells(scores, approach, headline)
    rows = [
        (title, *(found.get((regions, unit, metric), "-") for regions, unit, _ in columns.values()))
        for metric, title in METRICS.items()
    ]
    counts = [found.get((regions, unit, "n"), "-") for regions, unit, _ in columns.values()]
    return Table(
        ("figure", *columns), [*rows, ("number of units", *counts)], marked=frozenset({0, 1})
    )


def metric_columns(headline: Headline) -> dict[str, Figures]:
    """The columns of `metric_table`."""
    own, other = headline.regions, _other(headline.regions)
    return {
        f"{own} regions": Figures(own, "region", METRICS),
        f"{other} regions": Figures(other, "region", METRICS),
        f"tiles, {own}": Figures(own, "tile", METRICS),
        f"slides, {own}": Figures(own, "slide", METRICS),
    }


def correlation_table(scores: pd.DataFrame, approach: str, headline: Headline) -> Table:
    """Correlations within and between slides apart, and those of all regions, which mix both."""
    columns = correlation_columns(headline)
    found = _cells(scores, approach, headline)
    shown = [
        [found.get((regions, unit, metric), "-") for metric in titles]
        for regions, unit, titles in columns.values()
    ]
    return Table(("correlation", *columns), list(zip(CORRELATIONS.values(), *shown, strict=True)))


def correlation_columns(headline: Headline) -> dict[str, Figures]:
    """The columns of `correlation_table`."""
    within = {f"{name}_within": title for name, title in CORRELATIONS.items()}
    return {
        "within slides, regions": Figures(headline.regions, "region", within),
        "within slides, tiles": Figures(headline.regions, "tile", within),
        "between slides": Figures(headline.regions, "slide", CORRELATIONS),
        "all regions (mixes both)": Figures(headline.regions, "region", CORRELATIONS),
    }


def bin_table(
    scores: pd.DataFrame, approach: str, metric_of_bin: Mapping[str, str], headline: Headline
) -> Table:
    """MAE of the regions of each measured bin, with how many there are, on both sets of regions."""
    sets = (headline.regions, _other(headline.regions))
    rows = []
    for name, metric in metric_of_bin.items():
        cells: list[str] = []
        for regions in sets:
            own = pick(scores, headline._replace(regions=regions))
            own = own[(own["approach"] == approach) & (own["unit"] == "region")]
            own = own[own["metric"] == metric]
            if own.empty:
                cells += ["-", "0", "0"]
                continue
            row = own.iloc[0]
            cells += [_cell(row), str(int(row["n_units"])), str(int(row["n_slides"]))]
        rows.append((name, *cells))
    header = [f"{what}, {regions}" for regions in sets for what in ("MAE", "regions", "slides")]
    return Table(("measured bin", *header), rows)


def _cells(scores: pd.DataFrame, approach: str, headline: Headline) -> dict[Wanted, str]:
    """Value and interval as text; the number of units under the metric "n"."""
    cells: dict[Wanted, str] = {}
    own = scores[scores["approach"] == approach]
    for regions in ("selected", "admitted"):
        for row in pick(own, headline._replace(regions=regions)).to_dict("records"):
            place = (regions, str(row["unit"]))
            cells[(*place, str(row["metric"]))] = _cell(row)
            if row["metric"] == "mae":
                left = f", {row['n_undefined']} undefined" if row["n_undefined"] else ""
                cells[(*place, "n")] = f"{row['n_units']}{left}"
    return cells


def _cell(row: Mapping[Hashable, Any] | pd.Series) -> str:
    value = float(row["value"])
    if not math.isfinite(value):
        return "-"
    return f"{number(value)} {interval(float(row['lower']), float(row['upper']))}".rstrip()


def _other(regions: str) -> str:
    return "admitted" if regions == "selected" else "selected"
