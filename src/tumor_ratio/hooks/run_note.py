"""The description that MLflow shows with a run: its results as a table, and the stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHOWN = (
    "region_mae",
    "region_mae_calibrated",
    "region_rmse",
    "region_gain_mae",
    "region_bin_accuracy",
    "slide_mae",
)
"""Metrics of the evaluation, in the order of the columns."""

MOST_COLUMNS = 10


def results_note(
    metrics: Mapping[str, Mapping[str, float]],
    about: Mapping[str, Mapping[str, str]],
    stamps: Sequence[str],
) -> str:
    """Results of a run as Markdown.

    Parameters
    ----------
    metrics : by approach; other metrics than `SHOWN` are shown where there are none of these.
    about : by approach, tags such as `role`; shown where there are any.
    stamps : paragraphs above the table.
    """
    known = list(dict.fromkeys(name for values in metrics.values() for name in values))
    names = [name for name in SHOWN if name in known] or known[:MOST_COLUMNS]
    has_role = any("role" in about.get(approach, {}) for approach in metrics)
    header = ["approach", *(["role"] if has_role else []), *names]
    rows = [
        [
            approach,
            *([about.get(approach, {}).get("role", "")] if has_role else []),
            *(f"{values[name]:z.4f}" if name in values else "-" for name in names),
        ]
        for approach, values in metrics.items()
    ]
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join([*stamps, table, "Every row is a child run."])


def approach_note(approach: str, about: Mapping[str, str], stamps: Sequence[str]) -> str:
    """What an approach is, as Markdown: role, what it learned from, stamps."""
    role = f" ({about['role']})" if about.get("role") else ""
    learned = f"Learned from: {about['supervision']}." if about.get("supervision") else ""
    return "\n\n".join(part for part in (f"**{approach}**{role}", learned, *stamps) if part)
