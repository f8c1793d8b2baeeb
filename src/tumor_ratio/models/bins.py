"""Bins of the ratio: which one a ratio lies in, how often, and what that weighs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bin_numbers(ratios: NDArray[np.floating], edges: Sequence[float]) -> NDArray[np.int64]:
    """Number of the bin that each ratio lies in, from 0; a ratio on an edge lies above it.

    Parameters
    ----------
    ratios : (N,) in [0, 1].
    edges : ascending, between the bins. Compared in float32, as labels are stored.
    """
    return np.digitize(np.asarray(ratios, np.float32), np.asarray(edges, np.float32))


def balanced_weights(ratios: NDArray[np.floating], edges: Sequence[float]) -> NDArray[np.float32]:
    """(K,) float32 weights n / (K n_k) of the K bins; 0 for a bin without a ratio.

    The mean weight over the ratios is 1 (scikit-learn's `class_weight="balanced"`) where no bin is
    empty.
    """
    counts = np.bincount(bin_numbers(ratios, edges), minlength=len(edges) + 1)
    weights = len(ratios) / (len(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)
