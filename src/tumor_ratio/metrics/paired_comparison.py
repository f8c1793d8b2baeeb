"""Each model against each other and against the baselines, slide by slide."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import Interval, student_interval
from tumor_ratio.metrics.agreement import absolute_error
from tumor_ratio.metrics.resampling import NO_INTERVAL
from tumor_ratio.metrics.scoring import case_losses, compared_sets
from tumor_ratio.metrics.sign_flips import SignFlip, holm, sign_flip_test

AGAINST: Final = ("training_median", "ridge")
"""Baselines that every model is held against: a constant, and colour with density."""

COLUMNS: Final = [
    "approach_a", "approach_b", "protocol", "reference", "regions", "output", "effect", "lower",
    "upper", "p_value", "p_holm", "exact", "n_slides", "n_cases",
]  # fmt: skip


def compare_pairs(
    compared: pd.DataFrame,
    approaches: pd.DataFrame,
    *,
    against: tuple[str, ...] = AGAINST,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Differences in slide-macro MAE with their intervals and exact tests.

    Parameters
    ----------
    compared : `schemas.ComparedRegions`.
    approaches : `schemas.Approaches`: the scored models are the ones compared, in this order.
    against : approaches that each model is compared with beside the other models.
    confidence : of the intervals, which are not adjusted for the number of pairs.

    Returns
    -------
    DataFrame
        `schemas.PairedComparisons`. A pair of which one lacks a prediction is NaN; so are interval
        and test with fewer than two slides (or cases). Baselines are taken as they are for either
        output of a model (constants have nothing to calibrate, the ridge is calibrated).
    """
    scored = approaches[approaches["scored"].astype(bool)]
    models = [str(name) for name in scored.loc[scored["role"] == "model", "approach"]]
    parts = []
    for context, tables in compared_sets(compared):
        own = [name for name in models if name in tables]
        pairs = [
            *itertools.combinations(own, 2),
            *((model, name) for model in own for name in against if name in tables),
        ]
        for output in ("raw", "calibrated"):
            losses = {
                name: case_losses(tables[name], output, absolute_error)
                for name in dict.fromkeys(itertools.chain.from_iterable(pairs))
            }
            rows = [
                {
                    **context,
                    "output": output,
                    "approach_a": a,
                    "approach_b": b,
                    "n_slides": tables[a]["slide_id"].nunique(),
                    "n_cases": tables[a]["case_id"].nunique(),
                    **_difference(losses, a, b, confidence),
                }
                for a, b in pairs
            ]
            table = pd.DataFrame(rows, columns=[each for each in COLUMNS if each != "p_holm"])
            parts.append(table.assign(p_holm=holm(table["p_value"]))[COLUMNS])
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COLUMNS)


def _difference(
    losses: Mapping[str, pd.Series | None], a: str, b: str, confidence: float
) -> dict[str, Any]:
    """Effect, interval and test of one pair."""
    first, second = losses[a], losses[b]
    effect, interval, test = math.nan, NO_INTERVAL, SignFlip(math.nan, True)
    if first is not None and second is not None:
        difference = (first - second.reindex(first.index)).to_numpy(dtype=np.float64)
        effect = float(difference.mean())
        interval = student_interval(difference, confidence)
        test = sign_flip_test(difference)
    return {**_bounds(interval), "effect": effect, "p_value": test.p_value, "exact": test.exact}


def _bounds(interval: Interval) -> dict[str, float]:
    return {"lower": interval.lower, "upper": interval.upper}
