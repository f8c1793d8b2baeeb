"""Ratios from the areas that a pixel classification gives to its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SHARES = ("ratio", "counted_um2", "nuclei_um2")
PENALTY = 1e-3
"""On the sum of absolute coefficients of shares scaled to unit spread: it settles which of several
maps that fit alike is taken."""


def class_table(areas: pd.DataFrame) -> pd.DataFrame:
    """Areas by region and class.

    Parameters
    ----------
    areas : `tumor_ratio.schemas.ClassAreas`.

    Returns
    -------
    pandas.DataFrame
        A row a region, in the order of first appearance, a column a class; um2.
    """
    wide = areas.pivot(index="region_id", columns="class_name", values="area_um2")
    return wide.reindex(areas["region_id"].unique())


def class_ratio(
    areas: pd.DataFrame,
    counted: Sequence[str],
    others: Sequence[str],
    *,
    min_nuclei_um2: float,
) -> pd.DataFrame:
    """Share of some classes' area in that of all nuclei's classes.

    Parameters
    ----------
    areas : `tumor_ratio.schemas.ClassAreas`.
    counted : the classes whose share is asked for: positive nuclei on IHC, tumor nuclei on H&E.
    others : the other classes of nuclei.
    min_nuclei_um2 : with less nuclear area the ratio is NaN, never 0.

    Returns
    -------
    pandas.DataFrame
        region_id, ratio, counted_um2, nuclei_um2; a row a region.
    """
    wide = class_table(areas)
    counted_um2 = wide.reindex(columns=list(counted)).fillna(0).sum(axis=1)
    nuclei_um2 = counted_um2 + wide.reindex(columns=list(others)).fillna(0).sum(axis=1)
    ratio = (counted_um2 / nuclei_um2).where(nuclei_um2 >= max(min_nuclei_um2, 1e-9), np.nan)
    return pd.DataFrame(
        {"ratio": ratio, "counted_um2": counted_um2, "nuclei_um2": nuclei_um2}
    ).reset_index()


@dataclass(frozen=True)
class ShareMap:
    """The ratio as a linear function of a region's class shares, cut off at 0 and 1.

    Parameters
    ----------
    intercept : the answer where all shares are 0.
    coefficients : of `SHARES`; the areas in um2, so that regions must be of one size.
    """

    intercept: float
    coefficients: tuple[float, float, float]

    def apply(self, shares: pd.DataFrame) -> NDArray[np.float64]:
        """(N,) ratios of rows as `class_ratio` gives them; NaN where the ratio is."""
        values = shares[list(SHARES)].to_numpy(dtype=np.float64)
        return np.clip(self.intercept + values @ np.asarray(self.coefficients), 0.0, 1.0)

    def to_record(self) -> dict[str, float | list[float]]:
        """The map as a JSON-able record."""
        return {"intercept": self.intercept, "coefficients": list(self.coefficients)}

    @classmethod
    def from_record(cls, record: Mapping[str, float | Sequence[float]]) -> ShareMap:
        """The map that `to_record` described."""
        first, second, third = record["coefficients"]  # type: ignore[misc]
        return cls(float(record["intercept"]), (first, second, third))  # type: ignore[arg-type]


def fit_share_map(
    shares: pd.DataFrame, measured: NDArray[np.float64], weights: NDArray[np.float64]
) -> ShareMap:
    """The map with the least weighted mean absolute error.

    Absolute, because ratios are skewed: the least-squares map of shares that tell little is their
    mean, which errs by more than their median does.

    Parameters
    ----------
    shares : as `class_ratio` gives them, at least one row; finite.
    measured : (N,) ratios, finite.
    weights : (N,) above 0.

    Notes
    -----
    A median regression (Koenker & Bassett 1978, Econometrica 46:33) by linear programming.
    """
    from sklearn.linear_model import QuantileRegressor

    values = shares[list(SHARES)].to_numpy(dtype=np.float64)
    centre, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    fitted = QuantileRegressor(quantile=0.5, alpha=PENALTY, solver="highs").fit(
        (values - centre) / spread, measured, sample_weight=weights / weights.mean()
    )
    slopes = fitted.coef_ / spread
    first, second, third = (float(slope) for slope in slopes)
    return ShareMap(float(fitted.intercept_ - slopes @ centre), (first, second, third))
