"""What one factor of stress does to errors, and to the order of the approaches."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from tumor_ratio.metrics.aggregation import Interval, slide_means, student_interval
from tumor_ratio.metrics.figure_ranges import cut_to_range

NONE: Final = "none"
LABEL: Final = "label"
_KEYS: Final = ["slide_id", "region_id"]
_NO_INTERVAL: Final = Interval(math.nan, math.nan)


def stress_scores(regions: pd.DataFrame, *, strength: float, confidence: float) -> pd.DataFrame:
    """Errors of the label and each approach, with every factor and without.

    Parameters
    ----------
    regions : `schemas.StressRegions`. A family's slides without stress are the twins of its
        stressed ones, region by region.
    strength : of all factors.
    confidence : of the intervals.

    Returns
    -------
    DataFrame
        `schemas.StressScores`, in the order in which conditions and approaches appear. MAE is the
        mean over slides of the mean over the slide's regions. With stress it is taken over the
        regions that both twins have an error of, so that the change is paired; its interval is
        Student's t over the slides' changes.
    """
    parts = dict(list(regions.groupby(["family", "stress", "approach"], sort=False)))
    rows: list[dict[str, Any]] = []
    for (family, stress, approach), part in parts.items():
        row: dict[str, Any] = {
            "family": family,
            "stress": stress,
            "strength": 0.0 if stress == NONE else strength,
            "approach": approach,
            "reference": part["reference"].iloc[0],
        }
        twins = None if stress == NONE else parts.get((family, NONE, approach))
        rows.append({**row, **_figures(part, twins, confidence)})
    return pd.DataFrame(rows)


def _figures(
    part: pd.DataFrame, twins: pd.DataFrame | None, confidence: float
) -> dict[str, float | int]:
    """MAE, and its change against the twins where there are any."""
    known = part["true_ratio"].notna()
    error = _errors(part)
    n_lost, without, change, change_interval = 0, math.nan, math.nan, _NO_INTERVAL
    if twins is not None:
        before = twins.set_index(_KEYS)["true_ratio"]
        had_truth = before.reindex(pd.MultiIndex.from_frame(part[_KEYS])).notna().to_numpy()
        n_lost = int((had_truth & ~known.to_numpy()).sum())
        both = error.merge(_errors(twins), on=_KEYS, suffixes=("", "_without"))
        error = both[[*_KEYS, "error"]]
        old = slide_means(both["error_without"], both["slide_id"])
        changes = slide_means(both["error"] - both["error_without"], both["slide_id"])
        if len(changes):
            without, change = float(old.mean()), float(changes.mean())
        change_interval = student_interval(changes, confidence)
    means = slide_means(error["error"], error["slide_id"])
    mae = float(means.mean()) if len(means) else math.nan
    interval = cut_to_range("mae", student_interval(means, confidence), mae)
    return {
        "mae": mae,
        "mae_lower": interval.lower,
        "mae_upper": interval.upper,
        "mae_without": without,
        "change": change,
        "change_lower": change_interval.lower,
        "change_upper": change_interval.upper,
        "n_slides": len(means),
        "n_regions": len(error),
        "n_undefined": int((known & part["tumor_ratio"].isna()).sum()),
        "n_lost": n_lost,
    }


def _errors(part: pd.DataFrame) -> pd.DataFrame:
    """Absolute errors of the regions where truth and estimate are defined."""
    error = (part["tumor_ratio"] - part["true_ratio"]).abs()
    return part[_KEYS].assign(error=error)[np.isfinite(error.to_numpy())]


def stress_rankings(scores: pd.DataFrame, *, base_family: str) -> pd.DataFrame:
    """Order of the approaches in every condition, compared with that of `base_family` unstressed.

    Parameters
    ----------
    scores : `schemas.StressScores`; the label is no approach and takes no part.
    base_family : whose order without stress is the base.

    Returns
    -------
    DataFrame
        `schemas.StressRankings`, in the scores' order. Kendall's tau-b is taken over the MAEs of
        the approaches that both conditions have; NaN with fewer than two, or where all are equal.
    """
    models = scores[(scores["approach"] != LABEL) & scores["mae"].notna()]
    maes = {
        key: part.set_index("approach")["mae"]
        for key, part in models.groupby(["family", "stress"], sort=False)
    }
    base = maes.get((base_family, NONE), pd.Series(dtype=float))
    rows = []
    for (family, stress), mae in maes.items():
        shared = [name for name in base.index if name in mae.index]
        tau = (
            float(kendalltau(base[shared], mae[shared]).statistic) if len(shared) > 1 else math.nan
        )
        order = list(mae.sort_values(kind="stable").index)
        base_order = list(base.sort_values(kind="stable").index)
        rows.append(
            {
                "family": family,
                "stress": stress,
                "n_approaches": len(mae),
                "ranking": " < ".join(order),
                "kendall_tau": tau,
                "same_order": [name for name in order if name in shared]
                == [name for name in base_order if name in shared],
            }
        )
    columns = ["family", "stress", "n_approaches", "ranking", "kendall_tau", "same_order"]
    return pd.DataFrame(rows, columns=columns)


def stress_metrics(
    scores: pd.DataFrame, rankings: pd.DataFrame, *, base_family: str
) -> dict[str, float]:
    """A few figures for MLflow: each approach's largest change, and the rankings' agreement.

    Parameters
    ----------
    scores, rankings : `schemas.StressScores`, `schemas.StressRankings`.
    base_family : whose order without stress is the base, with which all others are compared.

    Returns
    -------
    dict
        Undefined figures are left out.
    """
    largest = scores.groupby("approach")["change"].max()
    metrics = {f"stress_largest_change_{name}": float(value) for name, value in largest.items()}
    others = rankings[(rankings["stress"] != NONE) | (rankings["family"] != base_family)]
    metrics["stress_smallest_tau"] = float(others["kendall_tau"].min())
    metrics["stress_same_order_share"] = float(others["same_order"].mean())
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
