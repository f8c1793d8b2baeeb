"""How much stain each nucleus holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIGH_QUANTILE = 0.95
"""A nucleus' "maximum" is this quantile of its pixels: one noisy pixel does not make it."""


def mean_per_nucleus(
    labels: NDArray[np.int32], n_nuclei: int, amount: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean amount over each nucleus' pixels.

    Parameters
    ----------
    labels : (H, W) int32, nucleus `i` has the label `i + 1`.
    n_nuclei : number of labels.
    amount : (H, W) float32.

    Returns
    -------
    (n_nuclei,) float64
        NaN for a label without pixels.
    """
    inside = labels > 0
    index = labels[inside] - 1
    area = np.bincount(index, minlength=n_nuclei)
    sums = np.bincount(index, weights=amount[inside], minlength=n_nuclei)
    with np.errstate(invalid="ignore"):
        return np.where(area > 0, sums / np.maximum(area, 1), np.nan)


def high_per_nucleus(
    labels: NDArray[np.int32],
    n_nuclei: int,
    amount: NDArray[np.float32],
    quantile: float = HIGH_QUANTILE,
) -> NDArray[np.float64]:
    """A high quantile of the amount over each nucleus' pixels (lower of the two neighbours).

    Parameters, returns: as `mean_per_nucleus`; `quantile` in [0, 1].
    """
    inside = labels > 0
    index = labels[inside] - 1
    values = amount[inside]
    order = np.lexsort((values, index))
    values = values[order]
    area = np.bincount(index, minlength=n_nuclei)
    first = np.cumsum(area) - area
    at = first + np.floor(np.maximum(area - 1, 0) * quantile).astype(np.int64)
    high = np.full(n_nuclei, np.nan)
    high[area > 0] = values[at[area > 0]]
    return high
