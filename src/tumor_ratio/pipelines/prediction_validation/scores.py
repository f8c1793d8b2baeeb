"""From slides beside their truth to tables: areas, curves, foci, intervals; and a few figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.aggregation import Interval, slide_means, student_interval
from tumor_ratio.pipelines.prediction_validation.tumor_areas import tumor_errors

AS_DRAWN: Final = "as drawn"
ALL: Final = "all"
COVERED: Final = ("ihc_measured", "ihc_true")
"""What intervals are held against: what they promise to hold, and the neighbour's truth."""
ERROR_STAINED, ERROR_RICH = 0.03, 0.10
"""What is asked of stained tissue on every slide, and of the rich area's sum over slides."""

_FOCI_KEYS: Final = ["condition", "from_um", "to_um"]


def slide_rows(results: Mapping[tuple[str, str], Mapping[str, Any]]) -> pd.DataFrame:
    """A row a condition and slide; see `validate_slide`.

    Parameters
    ----------
    results : by condition and slide id.
    """
    rows = [
        {"condition": condition, "slide_id": slide_id, **result["slide"]}
        for (condition, slide_id), result in results.items()
    ]
    texts = ("condition", "slide_id", "interval", "label_reason")
    table = pd.DataFrame(rows)
    table = table.astype({name: "float64" for name in table if name not in texts})
    counts = ["n_regions", "n_left_out", "n_cells", "n_cells_without_truth"]
    table = table.astype(dict.fromkeys(counts, "int64"))
    table["stained_error"] = table["stained_mm2"] / table["true_stained_mm2"] - 1
    return table


def area_rows(slides: pd.DataFrame) -> pd.DataFrame:
    """Areas of each condition, summed over its slides.

    Parameters
    ----------
    slides : from `with_tumor_areas`.

    Returns
    -------
    DataFrame
        `stained_error` and `rich_error`: relative error of the sums, the latter with its interval
        over slides, see `ratio_of_sums_interval`; `largest_stained_error`: of one slide;
        `rich_error_by_slide`: sum of the slides' absolute errors over the true sum, in which they
        do not cancel. `rich_over_tumor`, `true_rich_over_tumor`: the rich area, predicted and true
        (of true tissue on all cells), over the area of tumor. `tumor_found`: share of the tumor
        that lies in cells predicted rich; `tumor_in_rich`: share of the predicted rich area that is
        tumor. `l_by_area` and the areas of tumor that follow: see `with_tumor_areas`; their errors:
        see `tumor_errors`. NaN where undefined.
    """
    rows: list[dict[str, Any]] = []
    for condition, part in slides.groupby("condition", sort=False):
        rich, true_rich = part["rich_mm2"].to_numpy(), part["true_rich_mm2"].to_numpy()
        lower, upper = ratio_of_sums_interval(rich, true_rich)
        total = part[[name for name in part if str(name).endswith("_mm2")]].sum(min_count=1)
        rows.append(
            {
                "condition": condition,
                "tumor_labelling": float(part["tumor_labelling"].mean()),
                "n_slides": len(part),
                "tau": part["tau"].iloc[0],
                **{str(name): area for name, area in total.items()},
                "stained_error": _over(total["stained_mm2"], total["true_stained_mm2"]) - 1,
                "largest_stained_error": float(part["stained_error"].abs().max()),
                "rich_error": _over(total["rich_mm2"], total["true_rich_mm2"]) - 1,
                "rich_error_lower": lower - 1,
                "rich_error_upper": upper - 1,
                "rich_error_by_slide": _over(
                    float(np.nansum(np.abs(rich - true_rich))), total["true_rich_mm2"]
                ),
                "rich_over_tumor": _over(total["reported_rich_mm2"], total["tumor_mm2"]),
                "true_rich_over_tumor": _over(total["true_rich_all_mm2"], total["tumor_mm2"]),
                "tumor_found": _over(total["tumor_in_rich_mm2"], total["tumor_mm2"]),
                "tumor_in_rich": _over(total["tumor_in_rich_mm2"], total["reported_rich_mm2"]),
                "l_by_area": part["l_by_area"].iloc[0],
                "b_by_area": part["b_by_area"].iloc[0],
                **tumor_errors(part),
            }
        )
    return pd.DataFrame(rows)


def ratio_of_sums_interval(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], confidence: float = 0.95
) -> Interval:
    """Student's t interval of sum(parts) / sum(wholes) over slides.

    With R that ratio, the residuals are d = part - R whole; the standard error is
    sqrt(n / (n - 1) sum(d^2)) / sum(wholes) (Cochran 1977, Sampling Techniques, 6.4).

    Parameters
    ----------
    parts, wholes : (N,) a number a slide; slides with NaN are left out.
    confidence : of the interval.

    Returns
    -------
    Interval
        NaN with fewer than two slides, or where the wholes sum to 0.
    """
    used = np.isfinite(parts) & np.isfinite(wholes)
    parts, wholes = parts[used], wholes[used]
    if len(parts) < 2 or not wholes.sum() > 0:
        return Interval(math.nan, math.nan)
    ratio = parts.sum() / wholes.sum()
    # The interval of the mean of these is that of the ratio: their mean is R.
    return student_interval(ratio + (parts - ratio * wholes) / wholes.mean(), confidence)


def curve_rows(results: Mapping[tuple[str, str], Mapping[str, Any]]) -> pd.DataFrame:
    """Predicted and true rich area over tau, summed over the slides of each condition."""
    rows = [
        {"condition": condition, **point}
        for (condition, _), result in results.items()
        for point in result["curve"]
    ]
    table = pd.DataFrame(rows, columns=["condition", "tau", "rich_mm2", "true_rich_mm2"])
    return table.groupby(["condition", "tau"], sort=False, as_index=False).sum()


def focus_rows(results: Mapping[tuple[str, str], Mapping[str, Any]]) -> pd.DataFrame:
    """Precision and recall of foci by diameter, over the foci of all slides of each condition."""
    rows = [
        {"condition": condition, **row}
        for (condition, _), result in results.items()
        for row in result["foci"]
    ]
    counts = ["n_truth", "n_found", "n_predicted", "n_right"]
    table = pd.DataFrame(rows, columns=[*_FOCI_KEYS, *counts])
    table["to_um"] = table["to_um"].astype("float64").fillna(math.inf)
    table = table.groupby(_FOCI_KEYS, sort=False, as_index=False).sum()
    return table.assign(
        recall=table["n_found"] / table["n_truth"].where(table["n_truth"] > 0),
        precision=table["n_right"] / table["n_predicted"].where(table["n_predicted"] > 0),
    )


def interval_rows(
    results: Mapping[tuple[str, str], Mapping[str, Any]],
    slides: pd.DataFrame,
    burden_edges: Sequence[float],
) -> pd.DataFrame:
    """Coverage and width of intervals, by condition and burden.

    Parameters
    ----------
    results : by condition and slide id.
    slides : from `slide_rows`.
    burden_edges : between the groups of slides.

    Returns
    -------
    DataFrame
        `level` is region or slide; `reference` what is to lie in the interval. Of regions, coverage
        and width are the mean over slides of the mean over the slide's regions. `n_slides` have an
        interval and a reference, `n` counts intervals, `n_withheld` slides have none.
    """
    per_slide = slides[["condition", "slide_id", "burden", "lower", "upper", *COVERED]]
    tables = {
        "region": _region_rows(results).merge(
            slides[["condition", "slide_id", "burden"]], on=["condition", "slide_id"]
        ),
        "slide": per_slide,
    }
    rows = []
    for condition, part in slides.groupby("condition", sort=False):
        withheld = part.set_index("slide_id")["lower"].isna()
        for level, table in tables.items():
            own = table[table["condition"] == condition]
            for reference in COVERED:
                for name, low, high in _groups(burden_edges):
                    inside = own[(own["burden"] >= low) & (own["burden"] < high)]
                    members = part[(part["burden"] >= low) & (part["burden"] < high)]["slide_id"]
                    rows.append(
                        {
                            "condition": condition,
                            "level": level,
                            "reference": reference,
                            "burden": name,
                            **_coverage(inside, reference),
                            "n_withheld": int(withheld.reindex(members).sum()),
                        }
                    )
    return pd.DataFrame(rows)


def validation_metrics(
    areas: pd.DataFrame, foci: pd.DataFrame, intervals: pd.DataFrame
) -> dict[str, float]:
    """A few figures for MLflow: of slides as drawn; by labelling the rich area over the tumor's,
    and the errors of the tumor area that follows from the labelling, right and wrong.

    Undefined figures are left out.
    """
    own = areas[areas["condition"] == AS_DRAWN].iloc[0]
    names = ["stained_error", "largest_stained_error", "rich_error", "rich_error_by_slide"]
    names += ["tumor_found", "tumor_in_rich"]
    found = {name: float(own[name]) for name in names}
    overall = foci[(foci["condition"] == AS_DRAWN) & _is_total(foci)]
    for name in ("recall", "precision"):
        found |= {f"focus_{name}": float(value) for value in overall[name]}
    shown = intervals[(intervals["condition"] == AS_DRAWN) & (intervals["burden"] == ALL)]
    for row in shown.to_dict("records"):
        place = f"{row['level']}_{row['reference']}"
        found |= {f"coverage_{place}": row["coverage"], f"width_{place}": row["width"]}
    for row in areas.to_dict("records"):
        name = str(row["condition"]).replace(" ", "_")
        found[f"rich_over_tumor_{name}"] = row["rich_over_tumor"]
        for area in ("tumor_area", "tumor_area_l_low", "tumor_area_l_high"):
            found[f"{area}_error_{name}"] = row[f"{area}_error"]
    return {f"validation_{name}": value for name, value in found.items() if math.isfinite(value)}


def _is_total(foci: pd.DataFrame) -> pd.Series:
    return (foci["from_um"] == 0) & np.isinf(foci["to_um"])


def _region_rows(results: Mapping[tuple[str, str], Mapping[str, Any]]) -> pd.DataFrame:
    columns = ["lower", "upper", *COVERED]
    parts = [
        pd.DataFrame(result["regions"], columns=columns)
        .astype("float64")
        .assign(condition=condition, slide_id=slide_id)
        for (condition, slide_id), result in results.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _groups(edges: Sequence[float]) -> list[tuple[str, float, float]]:
    """Name and bounds of all slides together, then of each group."""
    if not edges:
        return [(ALL, 0.0, math.inf)]
    bounds = list(pairwise((0.0, *edges, math.inf)))
    names = [f"under {edges[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in bounds[1:-1]]
    names += [f"{edges[-1]:g} and more"]
    return [(ALL, 0.0, math.inf), *((n, *b) for n, b in zip(names, bounds, strict=True))]


def _coverage(table: pd.DataFrame, reference: str) -> dict[str, float | int]:
    known = table[table["lower"].notna() & table[reference].notna()]
    if known.empty:
        return {"n_slides": 0, "n": 0, "coverage": math.nan, "width": math.nan}
    covered = (known["lower"] <= known[reference]) & (known[reference] <= known["upper"])
    coverage = slide_means(covered.astype("float64"), known["slide_id"])
    width = slide_means(known["upper"] - known["lower"], known["slide_id"])
    return {
        "n_slides": len(coverage),
        "n": len(known),
        "coverage": float(coverage.mean()),
        "width": float(width.mean()),
    }


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
