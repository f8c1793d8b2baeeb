"""Orders a cohort's nuisance levels so that none of them tells the ratio."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 0.03
TRIES = 1500


def stratified(rng: np.random.Generator, n: int) -> FloatArray:
    """One uniform draw in each of `n` equal parts of [0, 1), ascending."""
    return (np.arange(n) + rng.random(n)) / n


def balanced_order(
    levels: FloatArray, targets: FloatArray, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Permutation of `levels` that correlates with none of `targets`.

    Parameters
    ----------
    levels : (n,) a factor's values.
    targets : (k, n) what the factor must not tell.

    Returns
    -------
    (n,) indices; `levels[order]` has |Pearson r| <= 0.03 with every target, or, where no such
    order was found (few slides), the least correlated of those tried.
    """
    best, best_r = np.arange(len(levels)), np.inf
    for order in _orders(len(levels), rng):
        r = largest_correlation(levels[order], targets)
        if r < best_r:
            best, best_r = order, r
        if best_r <= TOLERANCE:
            break
    return best


def _orders(n: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    """All orders of up to five things in random order, a number of random ones of more."""
    if n <= 5:
        yield from rng.permutation(np.array(list(itertools.permutations(range(n)))))
    else:
        yield from (rng.permutation(n) for _ in range(TRIES))


def largest_correlation(values: FloatArray, targets: FloatArray) -> float:
    """Largest |Pearson r| of `values` with the rows of `targets`; 0 where either is constant."""
    centred = values - values.mean()
    others = targets - targets.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum() * (others**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.abs(others @ centred) / norms
    return float(np.nan_to_num(r).max(initial=0.0))
