"""The results as plain text, for the terminal and for the catalog."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Final

import pandas as pd

from tumor_ratio.reporting.headline import ROLES, Headline, headline_table, quantity_of

WIDTH: Final = 132

HEADINGS: Final = {"model": "models", "baseline": "baselines", "ceiling": "ceiling"}

_LEFT: Final = 2  # approach and supervision are text; all else is numbers


def results_text(
    scores: pd.DataFrame,
    approaches: pd.DataFrame,
    headline: Headline,
    *,
    region_um: float,
    confidence: float,
    notes: Sequence[str],
    stamps: Sequence[str],
) -> str:
    """The primary comparison in aligned columns.

    Parameters
    ----------
    scores, approaches : `schemas.Scores`, `schemas.Approaches`.
    headline : which scores.
    region_um : side of a region; NaN where there is none.
    confidence : of the intervals.
    notes : sentences under the table (what was left out, what is undefined and why).
    stamps : sentences that the output must carry.

    Returns
    -------
    str
        Text that ends with a newline.
    """
    table = headline_table(scores, approaches, headline)
    lines = [*_heading(table, headline, region_um), ""]
    if table.empty:
        lines += ["No approach could be compared.", ""]
    else:
        lines += [*_columns(table), ""]
    for name, reason in not_scored(approaches):
        lines += _wrapped(f"not scored: {name}: {reason}")
    for note in (*standing_notes(confidence, "vs median"), *notes):
        lines += _wrapped(f"- {note}", indent="  ")
    for stamp in stamps:
        lines += ["", *_wrapped(stamp)]
    return "\n".join(lines) + "\n"


def not_scored(approaches: pd.DataFrame) -> list[tuple[str, str]]:
    """Name and reason of each approach that was not scored."""
    missing = approaches[~approaches["scored"].astype(bool)]
    return list(zip(missing["approach"].astype(str), missing["reason"].astype(str), strict=True))


def number(value: float, digits: int = 3) -> str:
    """A figure with fixed digits, what rounds to 0 without a sign; a dash where it is undefined."""
    return f"{value:z.{digits}f}" if math.isfinite(value) else "-"


def percent(value: float) -> str:
    """A share as whole per cent with its sign; a dash where it is undefined."""
    if not math.isfinite(value):
        return "-"
    whole = round(100 * value)
    return f"{whole:+d}%" if whole else "0%"


def counted(number: float, noun: str) -> str:
    """A whole number with its noun: 1 slide, 2 slides."""
    return f"{number:.0f} {noun}{'' if round(number) == 1 else 's'}"


def p_value(value: float) -> str:
    """A p-value to four digits; what would round to 0 as below them."""
    return "<0.0001" if value < 0.0001 else number(value, 4)


def interval(lower: float, upper: float) -> str:
    """An interval in brackets; empty where it is undefined."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return ""
    return f"[{number(lower)}, {number(upper)}]"


def _heading(table: pd.DataFrame, headline: Headline, region_um: float) -> list[str]:
    side = f"{region_um:.0f} um wide" if math.isfinite(region_um) else "no regions"
    slides, regions = (
        (0, 0) if table.empty else (int(table["n_slides"].max()), int(table["n_regions"].max()))
    )
    return [
        f"Tumor ratio from H&E: agreement with {quantity_of(headline)}",
        f"{counted(slides, 'test slide')}, {counted(regions, f'{headline.regions} region')} "
        f"({side}); reference "
        f"{headline.reference}, {headline.output} output, protocol {headline.protocol}",
        "Models, baselines and oracle are compared on the same regions. Primary endpoint: MAE.",
    ]


def _columns(table: pd.DataFrame) -> list[str]:
    header = [
        "approach", "learned from", "MAE", "interval", "vs median", "skill", "MSE",
        "<=0.05", "<=0.1", "<=0.2", "bin acc.", "balanced", "slide MAE",
    ]  # fmt: skip
    groups = [
        (HEADINGS[role], [_row(str(name), row) for name, row in part.iterrows()])
        for role in ROLES
        for part in [table[table["role"] == role]]
        if len(part)
    ]
    cells = [header, *(row for _, rows in groups for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_aligned(header, widths)]
    for _, rows in groups:
        lines += [rule, *(_aligned(row, widths) for row in rows)]
    return lines


def _row(name: str, row: pd.Series) -> list[str]:
    return [
        name,
        str(row["supervision"]).split(";")[0],
        number(row["region_mae"]),
        interval(row["region_mae_lower"], row["region_mae_upper"]),
        percent(-row["relative_gain_mae"]),
        *secondary_cells(row),
    ]


def secondary_cells(row: pd.Series) -> tuple[str, ...]:
    """What stands beside the MAE: skill, MSE, shares within 0.05, 0.1, 0.2, bins, slides."""
    return (
        number(row["region_skill_mae"], 2),
        number(row["region_mse"], 4),
        number(row["region_within_0_05"], 2),
        number(row["region_within_0_1"], 2),
        number(row["region_within_0_2"], 2),
        number(row["region_bin_accuracy"], 2),
        number(row["region_balanced_accuracy"], 2),
        number(row["slide_mae"]),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        text.ljust(width) if column < _LEFT else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def standing_notes(confidence: float, median_column: str) -> tuple[str, ...]:
    """How to read the table's columns.

    Parameters
    ----------
    confidence : of the intervals.
    median_column : what the table calls its comparison with the training median.
    """
    return (
        "MAE, MSE, shares within a tolerance and bin accuracy are means over slides of the mean "
        f"over the slide's regions; intervals are {confidence:.0%} Student's t over slides.",
        f"{median_column}: MAE relative to the training median's. skill: share of the oracle's "
        "gain over the training median; - where it is undefined.",
        "bin accuracy counts the bins 0-0.2, 0.2-0.5, 0.5-1 and means nothing without the "
        "majority_bin row; balanced: mean recall of the bins, each slide weighing the same.",
    )


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)
