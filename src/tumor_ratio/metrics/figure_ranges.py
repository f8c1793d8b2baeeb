"""Which values a figure can take, and intervals cut there.

An interval that is symmetric about its figure may reach where no figure can be: below an MAE of 0,
above an accuracy of 1. Nothing is lost by cutting it, and its coverage stays.
"""

from __future__ import annotations

import math
from typing import Final

from tumor_ratio.metrics.aggregation import Interval
from tumor_ratio.metrics.agreement import BIN_NAMES, REGION_METRICS
from tumor_ratio.metrics.paired_values import FloatArray

IN_BIN: Final = tuple(f"mae_in_{name}".replace(".", "_").replace("-", "_to_") for name in BIN_NAMES)
"""MAE of the rows whose measured value lies in a bin."""

_SHARES: Final = tuple(name for name in REGION_METRICS if name not in ("mae", "mse"))

_ERRORS: Final = ("mae", "mse", "rmse", *IN_BIN)

RANGES: Final[dict[str, tuple[float, float]]] = {
    # Raw predictions may leave [0, 1]: then an error has no upper end.
    **dict.fromkeys(_ERRORS, (0.0, math.inf)),
    **dict.fromkeys((*_SHARES, "balanced_accuracy", "macro_f1", "mean_ratio"), (0.0, 1.0)),
    **dict.fromkeys(
        (
            *("pearson", "pearson_within", "spearman", "spearman_within", "kendall"),
            *("kendall_within", "ccc", "icc_2_1", "quadratic_kappa"),
        ),
        (-1.0, 1.0),
    ),
    "r2": (-math.inf, 1.0),
}
"""Lowest and highest value by metric; what is not named (bias, limits, gains, skill) has none."""


def are_ratios(predicted: FloatArray) -> bool:
    """Whether all of some predictions lie in [0, 1]."""
    return bool(((predicted >= 0) & (predicted <= 1)).all())


def cut_to_range(
    metric: str, interval: Interval, value: float, *, ratios: bool = False
) -> Interval:
    """Cut an interval where its figure's range ends.

    Parameters
    ----------
    metric : name of the figure; any but those of `RANGES` is left as it is.
    interval : NaN bounds stay NaN.
    value : the figure, which the interval holds ever after: an ICC of three targets may lie
        below -1 by its formula.
    ratios : whether all predictions lie in [0, 1], and errors end at 1.
    """
    lowest, highest = RANGES.get(metric, (-math.inf, math.inf))
    if ratios and metric in _ERRORS:
        highest = 1.0
    if not (math.isfinite(interval.lower) and math.isfinite(interval.upper)):
        return interval
    return Interval(
        max(interval.lower, min(lowest, value)), min(interval.upper, max(highest, value))
    )
