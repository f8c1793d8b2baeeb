"""The results as plain text, for the terminal and for the catalog."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from tumor_ratio.reporting.headline import ROLES, Headline, quantity_of

WIDTH: Final = 132

GAP: Final = "  "


def results_text(
    table: pd.DataFrame,
    approaches: pd.DataFrame,
    headline: Headline,
    *,
    answer: Sequence[str],
    region_um: float,
    confidence: float,
    notes: Sequence[str],
    stamps: Sequence[str],
) -> str:
    """The primary comparison: in words, in aligned columns, and what the terms mean.

    Parameters
    ----------
    table : what `answer.with_tests` gives.
    approaches : `schemas.Approaches`.
    headline : which scores the table was given.
    answer : the result in words, one paragraph each.
    region_um : side of a region; NaN where there is none.
    confidence : of the intervals.
    notes : sentences under the table (what was left out, what is undefined and why).
    stamps : sentences that the output must carry.

    Returns
    -------
    str
        Text that ends with a newline.
    """
    lines = []
    for paragraph in answer:
        lines += [*_wrapped(_plain(paragraph)), ""]
    lines += [*_heading(table, headline, region_um), ""]
    if table.empty:
        lines += ["No approach could be compared.", ""]
    else:
        lines += [*_primary(table), "", "Secondary figures", "", *_secondary(table), ""]
    for name, reason in not_scored(approaches):
        lines += _wrapped(f"not scored: {name}: {reason}")
    for note in notes:
        lines += _wrapped(f"- {note}", indent="  ")
    if not table.empty:
        lines += ["", "What the words mean", "", *_terms(confidence)]
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


def counted(number: float, noun: str) -> str:
    """A whole number with its noun: 1 slide, 2 slides."""
    return f"{number:.0f} {noun}{'' if round(number) == 1 else 's'}"


def p_value(value: float) -> str:
    """A p-value to four digits; what would round to 0 as below them."""
    return "<0.0001" if value < 0.0001 else number(value, 4)


def interval(lower: float, upper: float, digits: int = 3) -> str:
    """An interval in brackets; empty where it is undefined."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return ""
    return f"[{number(lower, digits)}, {number(upper, digits)}]"


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


def _primary(table: pd.DataFrame) -> list[str]:
    header = ("approach", "MAE", "interval", "vs median", "interval", "p", "skill")
    rows = {
        str(name): (
            str(name),
            number(row["region_mae"]),
            interval(row["region_mae_lower"], row["region_mae_upper"]),
            *difference_cells(row),
            number(row["region_skill_mae"], 2),
        )
        for name, row in table.iterrows()
    }
    lines = _columns(header, rows, table)
    width = max(map(len, lines)) + len(GAP)
    told = {name: str(row["supervision"]).split(";")[0] for name, row in table.iterrows()}
    room = WIDTH - width
    whole = [f"{lines[0]:<{width}}learned from"]
    for line in lines[1:]:
        name = line.split(" ")[0]
        if name not in told:
            whole.append("-" * min(WIDTH, width + max(map(len, told.values()))))
            continue
        first, *rest = textwrap.wrap(told[name], room) or [""]
        whole += [f"{line:<{width}}{first}".rstrip(), *(" " * width + more for more in rest)]
    return whole


def _secondary(table: pd.DataFrame) -> list[str]:
    header = (
        "approach", "MSE", "<=0.05", "<=0.1", "<=0.2", "bin accuracy", "balanced", "slide MAE",
    )  # fmt: skip
    rows = {str(name): (str(name), *secondary_cells(row)[1:]) for name, row in table.iterrows()}
    return _columns(header, rows, table)


def difference_cells(row: pd.Series) -> tuple[str, str, str]:
    """MAE minus the training median's, its interval, and p; dashes for what was not tested."""
    gain, lower, upper = (row[f"region_gain_mae{end}"] for end in ("", "_lower", "_upper"))
    p = row["p_median"]
    return number(-gain), interval(-upper, -lower), p_value(p) if math.isfinite(p) else "-"


def _columns(
    header: Sequence[str], rows: Mapping[str, Sequence[str]], table: pd.DataFrame
) -> list[str]:
    """Aligned rows, with a rule above those of each role."""
    groups = [[rows[str(name)] for name in table.index[table["role"] == role]] for role in ROLES]
    cells = [header, *rows.values()]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    rule = "-" * (sum(widths) + len(GAP) * (len(widths) - 1))
    lines = [_aligned(header, widths)]
    for group in filter(None, groups):
        lines += [rule, *(_aligned(row, widths) for row in group)]
    return lines


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
        text.rjust(width) if column else text.ljust(width)  # the approach; else numbers
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return GAP.join(cells).rstrip()


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
        f"{median_column}: MAE minus the training median's, below 0 is better, with the interval "
        "of the difference, paired by slide; p of its sign-flip test, adjusted for all pairs "
        "(Holm); - where nothing was tested. skill: share of the oracle's gain over the training "
        "median; - where it is undefined.",
        "bin accuracy counts the bins 0-0.2, 0.2-0.5, 0.5-1 and means nothing without the "
        "majority_bin row; balanced: mean recall of the bins, each slide weighing the same.",
    )


def _terms(confidence: float) -> list[str]:
    """The terms of the tables, each with a plain explanation."""
    said = {
        "MAE": "mean absolute error, how far an estimated ratio (0 to 1) is from the reference on "
        "average; the mean over slides of the mean over the slide's regions",
        "interval": f"{confidence:.0%} Student's t over slides: where the mean over all slides of "
        "this kind is likely to lie",
        "vs median": "the MAE minus that of always answering the training slides' median; below 0 "
        "is better. Its interval is of the difference, paired by slide",
        "p": "how often chance would give a difference as large between equally good ones "
        "(sign-flip test over slides), adjusted for the number of comparisons (Holm). Beyond "
        "chance: p below 0.05 and an interval without 0. Baselines and oracle are not tested",
        "skill": "share of the way from the median's MAE (0) to the oracle's (1); - where it is "
        "undefined",
        "training_median, training_mean, majority_bin": "constants, one answer for all regions",
        "ridge": "a linear fit to colour and nuclei of the region (ridge_colour, ridge_density: "
        "to one of them)",
        "oracle": "knows the true ratio of the H&E section: how near H&E can come to the "
        "neighbouring section",
        "raw, calibrated": "as the approach answers; or mapped so that its answers on validation "
        "slides fit, without changing their order",
        "MSE, <=0.05": "mean squared error; share of regions that are off by at most 0.05",
        "bin accuracy": "share of regions in the right one of 0-0.2, 0.2-0.5, 0.5-1; it means "
        "nothing without the majority_bin row. balanced: the mean over the bins, each slide "
        "weighing the same",
        "slide MAE": "the same for the ratio of whole slides",
    }
    lines = []
    for term, meaning in said.items():
        lines += _wrapped(f"{term}: {meaning}.", indent="  ")
    return lines


def _plain(text: str) -> str:
    """The text in characters that any terminal shows."""
    return text.replace("µ", "u").replace("’", "'")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)
