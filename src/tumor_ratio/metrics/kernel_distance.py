"""How far apart two sets of feature vectors are: the kernel distance of image sets (KID)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
LEAST = 2
"""Vectors of a set, below which the distance is undefined."""


class KernelDistance(NamedTuple):
    """Over subsets: see `kernel_distance_of_subsets`."""

    mean: float
    sd: float


def kernel_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / d + 1)^3.

    Its expectation is 0 for two samples of one distribution, so that small values are negative as
    often as not; Binkowski et al. 2018 (arXiv 1801.01401), equation 4 and section 3.1.

    Parameters
    ----------
    first, second : (N, d) and (M, d) features.

    Returns
    -------
    float
        NaN where a set has fewer than two vectors.

    Raises
    ------
    ValueError
        If the sets are no matrices, or differ in d.
    """
    a, b = _matrices(first, second)
    if min(len(a), len(b)) < LEAST:
        return math.nan
    return _within(a) + _within(b) - 2 * float(_kernel(a, b).mean())


def kernel_distance_of_subsets(
    first: ArrayLike, second: ArrayLike, *, subsets: int, subset_size: int, seed: int
) -> KernelDistance:
    """Mean and standard deviation of `kernel_distance` over random subsets of both sets.

    Parameters
    ----------
    first, second : (N, d) and (M, d) features.
    subsets : how many, at least 1.
    subset_size : vectors drawn from each set, without replacement; at least 2. At most half of the
        smaller set is drawn: subsets of all would be the same ones, and their spread would say 0.
    seed : of the draws.

    Returns
    -------
    KernelDistance
        The mean is unbiased as each of them is. The standard deviation is that of single subsets,
        not of the mean; NaN for a single subset, and where a set has fewer than four vectors. Both
        are NaN where a set has fewer than two.

    Raises
    ------
    ValueError
        See `kernel_distance`; or if a number is below its bound.
    """
    if subsets < 1 or subset_size < LEAST:
        raise ValueError(f"{subsets} subsets of {subset_size}: at least 1 of {LEAST} are needed")
    a, b = _matrices(first, second)
    fewest = min(len(a), len(b))
    if fewest < 2 * LEAST:
        return KernelDistance(kernel_distance(a, b), math.nan)
    rng = np.random.default_rng(seed)
    size = min(subset_size, fewest // 2)
    found = [
        kernel_distance(
            *(each[rng.choice(len(each), size, replace=False, shuffle=False)] for each in (a, b))
        )
        for _ in range(subsets)
    ]
    sd = float(np.std(found, ddof=1)) if subsets > 1 else math.nan
    return KernelDistance(float(np.mean(found)), sd)


def _within(a: FloatArray) -> float:
    """Mean kernel of two different vectors of one set."""
    kernel = _kernel(a, a)
    return float((kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1)))


def _kernel(a: FloatArray, b: FloatArray) -> FloatArray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def _matrices(first: ArrayLike, second: ArrayLike) -> tuple[FloatArray, FloatArray]:
    a, b = (np.asarray(each, dtype=np.float64) for each in (first, second))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise ValueError(f"features are (N, d) and (M, d), not {a.shape} and {b.shape}")
    return a, b
