"""Exact tests of paired differences between slides, and what many tests at once cost."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

MOST_EXACT: Final = 32
"""Up to so many differences all sign flips are counted, as sums of two halves."""

N_DRAWS: Final = 99_999
"""Random patterns beyond that."""

_ROUNDING = 1e-12


class SignFlip(NamedTuple):
    """A two-sided p-value, and whether it counts all sign flips."""

    p_value: float
    exact: bool


def sign_flip_test(
    differences: ArrayLike, *, n_draws: int = N_DRAWS, seed: int = 0, most_exact: int = MOST_EXACT
) -> SignFlip:
    """Two-sided test of a mean difference of 0: each difference could have had the other sign.

    Fisher, The Design of Experiments, 1935, section 21. The p-value is the share of the 2^G sign
    patterns whose sum is at least as far from 0 as the observed one. Beyond `most_exact`
    differences patterns are drawn, and the observed one is counted with them (Phipson and Smyth,
    Statistical Applications in Genetics and Molecular Biology 2010; 9: 39).

    Parameters
    ----------
    differences : (G,) one a slide (or case), finite.
    n_draws : random patterns beyond `most_exact`.
    seed : of these.
    most_exact : number of differences up to which all patterns are counted.

    Returns
    -------
    SignFlip
        p NaN with fewer than two differences: one slide cannot be tested. The smallest p that G
        slides can give is 2 / 2^G.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return SignFlip(math.nan, True)
    observed = abs(float(values.sum())) - _ROUNDING * float(np.abs(values).sum())
    if values.size <= most_exact:
        half = values.size // 2
        one, two = _signed_sums(values[:half]), np.sort(_signed_sums(values[half:]))
        at_most = np.searchsorted(two, -observed - one, side="right")
        at_least = two.size - np.searchsorted(two, observed - one, side="left")
        extreme = int(at_most.sum()) + int(at_least.sum())
        return SignFlip(min(1.0, extreme / (one.size * two.size)), True)
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, n_draws, 4096):
        size = (min(4096, n_draws - start), values.size)
        signs = 2.0 * rng.integers(0, 2, size=size, dtype=np.int8) - 1.0
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return SignFlip((extreme + 1) / (n_draws + 1), False)


def smallest_p(n: int, *, n_draws: int = N_DRAWS, most_exact: int = MOST_EXACT) -> float:
    """The least p-value that `sign_flip_test` can give for n differences."""
    return 2.0 ** (1 - n) if n <= most_exact else 1 / (n_draws + 1)


def holm(p_values: ArrayLike) -> FloatArray:
    """P-values adjusted for their number (Holm, Scandinavian Journal of Statistics 1979; 6: 65).

    Parameters
    ----------
    p_values : (M,); NaN where nothing was tested, which does not count.

    Returns
    -------
    (M,) float64
        At most 1; NaN stays.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, math.nan)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted


def _signed_sums(values: FloatArray) -> FloatArray:
    """(2^n,) sums of the values under all signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
