"""What was measured, on average, where an approach predicted about so much."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from tumor_ratio.metrics.figure_ranges import cut_to_range
from tumor_ratio.metrics.paired_values import FloatArray, IntArray, PairedValues
from tumor_ratio.metrics.resampling import NO_INTERVAL, jackknife_interval, without_each
from tumor_ratio.metrics.unit_values import with_codes

COLUMNS: Final = [
    "approach", "predicted", "measured", "lower", "upper", "n_regions", "n_slides",
]  # fmt: skip


def calibration_bins(
    compared: pd.DataFrame, output: str, *, groups: int = 8, confidence: float = 0.95
) -> pd.DataFrame:
    """Mean measured beside mean predicted ratio, in groups of regions from low to high prediction.

    Parameters
    ----------
    compared : `schemas.ComparedRegions` of one reference and protocol.
    output : "raw" or "calibrated".
    groups : of equal weight, each slide weighing the same; equal predictions are never parted, so
        that a constant has one group.
    confidence : of the intervals.

    Returns
    -------
    DataFrame
        approach, predicted, measured, lower and upper (of the mean measured ratio, by the jackknife
        over cases; NaN where all of a group is of one case), n_regions (rows), n_slides. Approaches
        that lack a prediction are left out.
    """
    parts = [
        _bins_of(table, output, groups, confidence).assign(approach=approach)
        for approach, table in with_codes(compared).groupby("approach", sort=False)
        if len(table) and table[output].notna().all()
    ]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def _bins_of(table: pd.DataFrame, output: str, groups: int, confidence: float) -> pd.DataFrame:
    values = PairedValues.of_codes(
        table[output].to_numpy(np.float64),
        table["measured"].to_numpy(np.float64),
        table["slide_id"].to_numpy(np.int64),
        table["case_id"].to_numpy(np.int64),
    )
    place = equal_groups(values.predicted, values.weights, groups)
    rows = []
    for group in np.unique(place):
        own = place == group
        weight = values.weights[own]
        by_case = np.stack(
            [
                np.bincount(values.case[own], column, values.n_cases).astype(np.float64)
                for column in (weight, weight * values.measured[own])
            ],
            axis=-1,
        )
        measured = float(_mean(by_case.sum(axis=0)))
        interval = NO_INTERVAL
        if values.n_cases > 1:
            without = _mean(without_each(by_case))
            found = jackknife_interval(measured, without, confidence)
            interval = cut_to_range("mean_ratio", found, measured)
        rows.append(
            {
                "predicted": float(np.average(values.predicted[own], weights=weight)),
                "measured": measured,
                "lower": interval.lower,
                "upper": interval.upper,
                "n_regions": int(own.sum()),
                "n_slides": len(np.unique(values.slide[own])),
            }
        )
    return pd.DataFrame(rows)


def equal_groups(values: FloatArray, weights: FloatArray, groups: int) -> IntArray:
    """Place of each value in one of at most `groups` parts of about equal weight, by size.

    Parameters
    ----------
    values, weights : (N,) finite, weights above 0.
    """
    distinct, which = np.unique(values, return_inverse=True)
    mass = np.bincount(which, weights, len(distinct))
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.minimum((middle * groups).astype(np.int64), groups - 1)[which]


def _mean(sums: FloatArray) -> FloatArray:
    """Weighted mean from (..., 2) weight and weighted sum; NaN without weight."""
    weight, total = sums[..., 0], sums[..., 1]
    enough = weight > 1e-12  # less is the rounding of what was subtracted
    return np.divide(total, weight, out=np.full(np.shape(weight), np.nan), where=enough)
