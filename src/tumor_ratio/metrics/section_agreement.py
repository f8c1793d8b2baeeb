"""How ratios by pixel classes agree: H&E against Ki-67, and each against the nuclei."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tumor_ratio.metrics.agreement import REGION_METRICS

NUCLEI = "Ki-67 per nucleus"
METRICS = ("within_0_05", "within_0_1", "within_0_2", "mse", "mae")


def section_agreement(
    ratios: pd.DataFrame,
    areas: pd.DataFrame,
    places: pd.DataFrame,
    medians: Mapping[str, float],
) -> pd.DataFrame:
    """Agreement of each column of ratios with each that others are held against.

    Parameters
    ----------
    ratios : a column an estimate; indexed by region.
    areas : the nuclear area behind each ratio, um2; columns and index as `ratios`. A tile's ratio
        is the mean of its regions', weighted by area, over the regions where both are defined.
    places : `tile_id` of each region; index as `ratios`.
    medians : by reference, a column of `ratios`, the median of that very ratio on training slides:
        its constant answer stands beside each estimate. A column is not held against a reference
        that comes before it here.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.SectionAgreement`, by patch and by tile; undefined are regions where
        the reference is defined and the estimate is not.
    """
    order = list(medians)
    rows = []
    for unit in ("patch", "tile"):
        for reference, median in medians.items():
            for estimate in ratios.columns:
                earlier = estimate in order and order.index(estimate) >= order.index(reference)
                if not earlier:
                    names = [estimate, reference]
                    both = ratios[names][ratios[reference].notna()]
                    defined = both.dropna()
                    if unit == "tile":
                        defined = _by_tile(defined, areas[names], places["tile_id"])
                    rows.append(
                        {
                            "estimate": estimate,
                            "against": reference,
                            "unit": unit,
                            "n_regions": len(defined),
                            "n_undefined": int(both[estimate].isna().sum()),
                            **_scores(defined[estimate], defined[reference], median),
                        }
                    )
    return pd.DataFrame(rows)


def _scores(found: pd.Series, true: pd.Series, median: float) -> dict[str, float]:
    """Means over the regions; NaN without any."""
    names = (*METRICS, "mae_of_median")
    if found.empty:
        return dict.fromkeys(names, np.nan)
    values, targets = (each.to_numpy(dtype=np.float64) for each in (found, true))
    losses = [REGION_METRICS[name](values, targets) for name in METRICS]
    means = [*(float(loss.mean()) for loss in losses), float(np.abs(targets - median).mean())]
    return dict(zip(names, means, strict=True))


def _by_tile(ratios: pd.DataFrame, areas: pd.DataFrame, tile_id: pd.Series) -> pd.DataFrame:
    """Means weighted by area; all ratios are defined."""
    weights = areas.loc[ratios.index]
    tiles = tile_id.loc[ratios.index]
    return (ratios * weights).groupby(tiles).sum() / weights.groupby(tiles).sum()
