"""The results of a validation as plain text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import pandas as pd

from tumor_ratio.pipelines.prediction_validation.scores import (
    ALL,
    AS_DRAWN,
    ERROR_RICH,
    ERROR_STAINED,
)
from tumor_ratio.pipelines.prediction_validation.tumor_areas import WRONG

WIDTH = 120
NO_TUMOR = (
    "The Ki-67-rich area is not the tumor's area. The same tissue with another share of positive "
    "tumor nuclei gives:"
)

FROM_LABELLING = (
    "Where l and b, the labelling of tumor and of other nuclei by area, are known, the tumor's "
    "area follows from the ratio R: (R - b) / (l - b) of the scored tissue. With l and b of all "
    "slides of a condition:"
)


def validation_text(
    slides: pd.DataFrame,
    areas: pd.DataFrame,
    foci: pd.DataFrame,
    intervals: pd.DataFrame,
    stamps: Sequence[str],
) -> str:
    """Areas, foci, intervals, and by labelling the tumor's area beside the rich area and beside the
    one that follows from the labelling.

    Parameters
    ----------
    slides, areas, foci, intervals : of `scores`.
    stamps : sentences that the output must carry.

    Returns
    -------
    str
        Text that ends with a newline.
    """
    own = areas[areas["condition"] == AS_DRAWN].iloc[0]
    drawn = slides[slides["condition"] == AS_DRAWN]
    lines = [f"New slides against the truth: {own['n_slides']} phantoms as drawn", ""]
    stained = _asked(own["largest_stained_error"], ERROR_STAINED)
    rich = _asked(own["rich_error"], ERROR_RICH)
    bounds = own[["rich_error_lower", "rich_error_upper"]].astype("float64")
    if abs(own["rich_error"]) <= ERROR_RICH and not (bounds.abs() <= ERROR_RICH).all():
        rich += " by these slides, not shown for others"
    lines += [
        f"stained tissue: {_percent(own['stained_error'])} in sum, at most "
        f"{own['largest_stained_error']:.1%} on a slide ({stained})",
        f"Ki-67-rich area at tau {_number(own['tau'], 3)}: {_number(own['rich_mm2'])} mm2, true "
        f"{_number(own['true_rich_mm2'])} mm2 on the same cells: "
        f"{_percent(own['rich_error'])} in sum ({rich})",
        f"  95 % interval over slides {_percent(own['rich_error_lower'])} to "
        f"{_percent(own['rich_error_upper'])}; the slides' own errors, which cancel in the sum, "
        f"make {_share(own['rich_error_by_slide'])} of the true area",
        *_slide_lines(drawn),
        "",
        "foci by diameter (smallest detectable: "
        f"{_number(drawn['smallest_detectable_um'].max(), 0)} um):",
        *_focus_lines(foci[foci["condition"] == AS_DRAWN]),
        "",
        "intervals (promised against ihc_measured: 0.90 of slides, at least 0.90 of regions):",
        *_interval_lines(intervals[intervals["condition"] == AS_DRAWN]),
        "",
        *textwrap.wrap(NO_TUMOR, WIDTH),
        *_tumor_lines(areas),
        "",
        *textwrap.wrap(FROM_LABELLING, WIDTH),
        *_labelling_lines(areas),
    ]
    reasons = [text for text in drawn["interval"].dropna().unique() if text]
    lines += [f"- slides without an interval: {text}" for text in reasons]
    for stamp in stamps:
        lines += ["", *textwrap.wrap(stamp, WIDTH)]
    return "\n".join(lines) + "\n"


def _slide_lines(drawn: pd.DataFrame) -> list[str]:
    known = drawn[drawn["rich_mm2"].notna()]
    return [
        f"  {row['slide_id']}  burden {row['burden']:.2f}  rich {_number(row['rich_mm2'])} mm2, "
        f"true {_number(row['true_rich_mm2'])} mm2"
        for row in known.to_dict("records")
    ]


def _focus_lines(foci: pd.DataFrame) -> list[str]:
    if foci.empty:
        return ["  none: there is no tau"]
    rows = []
    for row in foci.to_dict("records"):
        last = math.isinf(row["to_um"])
        name = f"{row['from_um']:g} um and more" if last else ""
        name = name or f"{row['from_um']:g} to {row['to_um']:g} um"
        name = ALL if last and row["from_um"] == 0 else name
        rows.append(
            f"  {name:<16} recall {_number(row['recall'])} ({row['n_found']} of {row['n_truth']}), "
            f"precision {_number(row['precision'])} ({row['n_right']} of {row['n_predicted']})"
        )
    return rows


def _interval_lines(intervals: pd.DataFrame) -> list[str]:
    known = intervals[intervals["n_slides"] > 0]
    if known.empty:
        return ["  none"]
    return [
        f"  {row['level']:<7} {row['reference']:<13} burden {row['burden']:<12} coverage "
        f"{_number(row['coverage'])}, width {_number(row['width'])} ({row['n_slides']} slides, "
        f"{row['n_withheld']} withheld)"
        for row in known.to_dict("records")
    ]


def _tumor_lines(areas: pd.DataFrame) -> list[str]:
    known = areas[areas["tau"].notna()]
    if known.empty:
        return ["  undefined: there is no tau"]
    return [
        f"  {row['condition']:<14} tumor {_number(row['tumor_mm2'])} mm2, rich predicted "
        f"{_number(row['reported_rich_mm2'])} ({_number(row['rich_over_tumor'])} times the tumor), "
        f"true {_number(row['true_rich_all_mm2'])} ({_number(row['true_rich_over_tumor'])} times); "
        f"of the tumor {_number(row['tumor_found'])} is rich"
        for row in known.to_dict("records")
    ]


def _labelling_lines(areas: pd.DataFrame) -> list[str]:
    lines = []
    for row in areas.to_dict("records"):
        name, l, b = row["condition"], _number(row["l_by_area"]), _number(row["b_by_area"])
        lines += [
            f"  {name:<14} l {l}, b {b}: {_number(row['tumor_area_mm2'])} mm2 of "
            f"{_number(row['tumor_mm2'])} mm2 tumor: {_percent(row['tumor_area_error'])} in sum; "
            f"the slides' own errors make {_share(row['tumor_area_error_by_slide'])}",
            f"  {'':<14} with shares not cut to 0 to 1 {_percent(row['tumor_area_uncut_error'])}; "
            f"from true ratios {_percent(row['tumor_area_true_ratio_error'])}; with l {WRONG:g} "
            f"lower {_percent(row['tumor_area_l_low_error'])}, higher "
            f"{_percent(row['tumor_area_l_high_error'])}",
        ]
    return lines


def _number(value: float, digits: int = 2) -> str:
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:+.1%}"


def _share(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.0%}"


def _asked(value: float, most: float) -> str:
    if math.isnan(value):
        return f"asked: within {most:.0%}"
    return f"asked: within {most:.0%}, {'met' if abs(value) <= most else 'NOT met'}"
