"""Why a figure of the comparison is undefined, in the reader's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from tumor_ratio.reporting.headline import Headline, pick

ALONE: Final = "one value alone has no spread"

_REASONS: Final = {
    "r2": "all measured values are equal",
    **dict.fromkeys(
        ("calibration_slope", "calibration_intercept"), "all predicted values are equal"
    ),
    **dict.fromkeys(("pearson", "spearman", "kendall"), "measured or predicted values are equal"),
    **dict.fromkeys(
        ("pearson_within", "spearman_within", "kendall_within"),
        "in no slide do both measured and predicted values differ",
    ),
    **dict.fromkeys(("ccc", "icc_2_1"), "neither measured nor predicted values differ"),
    "quadratic_kappa": "measured and predicted values lie in one bin each",
}


def why_undefined(row: Mapping[Any, Any]) -> str:
    """Reason for a figure that is NaN.

    Parameters
    ----------
    row : metric, n_units and n_undefined of a row of `schemas.Scores`.
    """
    metric, n_units, lacking = str(row["metric"]), int(row["n_units"]), int(row["n_undefined"])
    if n_units == 0 and metric.startswith("mae_in_"):
        return "nothing was measured in the bin"
    if n_units == 0:
        return f"{lacking} lack a predicted value" if lacking else "there is no value"
    if n_units == 1:
        return ALONE
    return _REASONS.get(metric, "it cannot be formed of these values")


class Figures(NamedTuple):
    """A column of a table: a set of regions, a unit, and the titles of its rows by metric."""

    regions: str
    unit: str
    titles: Mapping[str, str]


def undefined_notes(
    scores: pd.DataFrame, approach: str, headline: Headline, columns: Mapping[str, Figures]
) -> list[str]:
    """Say how many figures of a table are dashes, and why; nothing where none is.

    Parameters
    ----------
    scores : `schemas.Scores`.
    approach : whose.
    headline : protocol, reference and output of the figures.
    columns : of the table, by their names.
    """
    own = scores[scores["approach"] == approach]
    found: dict[tuple[str, str], list[str]] = {}
    for name, (regions, unit, titles) in columns.items():
        rows = pick(own, headline._replace(regions=regions))
        rows = rows[(rows["unit"] == unit) & rows["value"].isna()]
        for row in rows[rows["metric"].isin(list(titles))].to_dict("records"):
            found.setdefault((name, why_undefined(row)), []).append(titles[str(row["metric"])])
    if not found:
        return []
    said = "; ".join(
        f"{name}: {_listed(which, columns[name])} ({reason})"
        for (name, reason), which in found.items()
    )
    count = sum(map(len, found.values()))
    return [f"A dash is an undefined figure; here {'is' if count == 1 else 'are'} {count}. {said}."]


def undefined_in_views(
    scores: pd.DataFrame, shown: Sequence[str], views: Mapping[str, tuple[Headline, str]]
) -> list[str]:
    """Say which MAEs of `report_tables.mae_by_view` are dashes, and why."""
    notes = []
    for name, (view, unit) in views.items():
        rows = pick(scores, view)
        rows = rows[(rows["unit"] == unit) & (rows["metric"] == "mae") & rows["value"].isna()]
        notes += [
            f"{row['approach']}, {name}: undefined, as {why_undefined(row)}."
            for row in rows[rows["approach"].isin(shown)].to_dict("records")
        ]
    return notes


def _listed(titles: Sequence[str], column: Figures) -> str:
    return "every figure" if len(titles) == len(column.titles) else ", ".join(titles)
