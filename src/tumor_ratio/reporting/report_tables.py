"""The results as tables of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tumor_ratio.reporting.headline import ROLES, Headline, pick
from tumor_ratio.reporting.html_report import Table
from tumor_ratio.reporting.results_text import (
    difference_cells,
    interval,
    number,
    p_value,
    secondary_cells,
)


def primary_table(table: pd.DataFrame) -> Table:
    """One row an approach, grouped by role.

    Parameters
    ----------
    table : what `answer.with_tests` gives.
    """
    header = (
        "approach", "learned from", "MAE (primary)", "interval", "against median",
        "interval of it", "p (Holm)", "gain over ridge’s", "skill", "MSE", "≤ 0.05", "≤ 0.1",
        "≤ 0.2", "bin accuracy", "balanced", "slide MAE",
    )  # fmt: skip
    rows = [
        (
            str(name),
            str(row["supervision"]),
            number(row["region_mae"]),
            interval(row["region_mae_lower"], row["region_mae_upper"]),
            *difference_cells(row),
            number(row["gain_over_ridge"], 1),
            *secondary_cells(row),
        )
        for name, row in table.iterrows()
    ]
    roles = table["role"].tolist()
    marked = frozenset(roles.index(role) for role in ROLES if role in roles)
    return Table(header, rows, text_columns=2, marked=marked)


def not_run_table(approaches: pd.DataFrame) -> Table:
    """What was asked for and not scored, with what is known of the reason."""
    missing = approaches[~approaches["scored"].astype(bool)]
    rows = [
        (
            str(row["approach"]),
            str(row["supervision"]),
            str(row["reason"]),
            f"{row['coverage']:.0%}",
        )
        for row in missing.to_dict("records")
    ]
    return Table(("approach", "would learn from", "why not", "regions predicted"), rows, 3)


def paired_table(differences: pd.DataFrame, paired: pd.DataFrame) -> Table:
    """Differences in MAE with their intervals and tests.

    Parameters
    ----------
    differences : what `comparison_tables.differences` gives.
    paired : `schemas.PairedComparisons` of the same headline, for the number of cases.
    """
    cases = str(int(paired["n_cases"].max())) if len(paired) else "-"
    rows = [
        (
            row["label"],
            row["group"],
            number(row["effect"]),
            interval(row["lower"], row["upper"]),
            p_value(row["p_value"]),
            p_value(row["p_holm"]),
            cases,
        )
        for row in differences.to_dict("records")
    ]
    groups = differences["group"].tolist()
    marked = frozenset(groups.index(group) for group in groups)
    header = ("approach", "compared", "difference in MAE", "interval", "p", "p (Holm)", "cases")
    return Table(header, rows, 2, marked)


def mae_by_view(
    scores: pd.DataFrame, shown: Sequence[str], views: Mapping[str, tuple[Headline, str]]
) -> Table:
    """MAE of every approach as seen otherwise: other regions, outputs, units, references.

    Parameters
    ----------
    scores : `schemas.Scores`.
    shown : approaches, in order.
    views : which scores and which unit ("region" or "slide"), by the column's name; views without
        a score are left out.
    """
    columns: dict[str, pd.Series] = {}
    for name, (view, unit) in views.items():
        chosen = pick(scores, view)
        chosen = chosen[(chosen["unit"] == unit) & (chosen["metric"] == "mae")]
        if chosen["value"].notna().any():
            counted = "n_slides" if unit == "slide" else "n_regions"
            title = f"{name} (n\u00a0=\u00a0{chosen[counted].max()})"
            columns[title] = chosen.set_index("approach").apply(_with_interval, axis=1)
    rows = [(name, *(column.get(name, "-") for column in columns.values())) for name in shown]
    return Table(("approach", *columns), rows)


def _with_interval(row: pd.Series) -> str:
    return f"{number(row['value'])} {interval(row['lower'], row['upper'])}".rstrip()
