"""Do two sections hold as much stain at the same places? Compared in cells, not in nuclei."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def soft_dice(first: ArrayLike, second: ArrayLike) -> float:
    """Overlap of two amounts: 2 sum(min(a, b)) / (sum(a) + sum(b)).

    Dice's coefficient of two masks, were they laid inside each cell to overlap as far as their
    amounts allow: 1 where all cells agree, 0 where none hold both.

    Parameters
    ----------
    first, second : (N,) amounts of N cells, at least 0.

    Returns
    -------
    float
        NaN where there is nothing at all.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    total = float(a.sum() + b.sum())
    return 2 * float(np.minimum(a, b).sum()) / total if total > 0 else math.nan


def evenly_spread(amount: ArrayLike, over: ArrayLike) -> np.ndarray:
    """(N,) the sum of `amount`, dealt to the cells in proportion to `over`; 0 where that is empty.

    What is found by knowing how much there is and not where: the measure of a place's worth.
    """
    share = np.asarray(over, dtype=np.float64)
    total = share.sum()
    return float(np.sum(amount)) * (share / total if total > 0 else share)
