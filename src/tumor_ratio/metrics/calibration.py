"""A monotone map from what an approach predicts to the ratio that was measured.

The map is the isotonic (pool-adjacent-violators) fit of Barlow, Bartholomew, Bremner and Brunk,
*Statistical Inference under Order Restrictions*, 1972. It is fitted on validation slides, never on
test slides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MonotoneMap:
    """A non-decreasing, piecewise linear function into [0, 1].

    Parameters
    ----------
    knots : strictly increasing inputs, at least one.
    values : the map at the knots, non-decreasing, in [0, 1]; constant beyond the outermost knots.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        knots, values = np.asarray(self.knots), np.asarray(self.values)
        if knots.size == 0 or knots.shape != values.shape:
            raise ValueError("a monotone map needs one value a knot and at least one knot")
        if not (np.isfinite(knots).all() and np.isfinite(values).all()):
            raise ValueError("a monotone map's knots and values are finite")
        if (np.diff(knots) <= 0).any() or (np.diff(values) < 0).any():
            raise ValueError("a monotone map's knots increase and its values never decrease")
        if values[0] < 0 or values[-1] > 1:
            raise ValueError("a monotone map's values lie in [0, 1]")

    def apply(self, predicted: ArrayLike) -> FloatArray:
        """Calibrated ratios.

        Parameters
        ----------
        predicted : (N,) float; NaN stays NaN.

        Returns
        -------
        (N,) float64 in [0, 1]
        """
        inputs = np.asarray(predicted, dtype=np.float64)
        outputs = np.interp(inputs, self.knots, self.values)
        return np.where(np.isnan(inputs), np.nan, outputs)

    def to_record(self) -> dict[str, list[float]]:
        """The map as a JSON-able record."""
        return {"knots": list(self.knots), "values": list(self.values)}

    @classmethod
    def from_record(cls, record: Mapping[str, Sequence[float]]) -> MonotoneMap:
        """The map that `to_record` described."""
        return cls(tuple(map(float, record["knots"])), tuple(map(float, record["values"])))


def fit_monotone(
    predicted: ArrayLike, measured: ArrayLike, weights: ArrayLike | None = None
) -> MonotoneMap:
    """Weighted least-squares non-decreasing map from `predicted` to `measured`, clipped to [0, 1].

    Parameters
    ----------
    predicted, measured : (N,) float. Rows where either is not finite are left out.
    weights : (N,) float, non-negative; equal where not given. Rows of weight 0 or NaN are left out.

    Returns
    -------
    MonotoneMap
        Equal predictions share one knot (their weighted mean), so a constant prediction gives a
        constant map.

    Raises
    ------
    ValueError
        If no row is usable, or if the lengths differ.
    """
    x = np.asarray(predicted, dtype=np.float64)
    y = np.asarray(measured, dtype=np.float64)
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    if x.ndim != 1 or not x.shape == y.shape == w.shape:
        raise ValueError("predicted, measured and weights are one-dimensional and of one length")
    usable = np.isfinite(x) & np.isfinite(y) & (w > 0)
    if not usable.any():
        raise ValueError("no finite pair of prediction and measurement to fit a monotone map on")
    knots, group = np.unique(x[usable], return_inverse=True)
    mass = np.bincount(group, w[usable]).astype(np.float64)
    means = np.bincount(group, w[usable] * y[usable]) / mass
    values = np.clip(_pool_adjacent_violators(means, mass), 0.0, 1.0)
    keep = _corners(values)
    return MonotoneMap(tuple(knots[keep].tolist()), tuple(values[keep].tolist()))


def _pool_adjacent_violators(means: FloatArray, mass: FloatArray) -> FloatArray:
    """The closest non-decreasing sequence to `means` under the weights `mass`."""
    blocks: list[tuple[float, float, int]] = []  # mean, mass, length
    for mean, weight in zip(means.tolist(), mass.tolist(), strict=True):
        length = 1
        while blocks and blocks[-1][0] >= mean:
            last_mean, last_weight, last_length = blocks.pop()
            mean = (last_mean * last_weight + mean * weight) / (last_weight + weight)
            weight, length = last_weight + weight, last_length + length
        blocks.append((mean, weight, length))
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])


def _corners(values: FloatArray) -> NDArray[np.bool_]:
    """Which knots to keep: those inside a flat run change nothing."""
    inside = np.zeros(values.shape, dtype=bool)
    inside[1:-1] = (values[1:-1] == values[:-2]) & (values[1:-1] == values[2:])
    return ~inside
