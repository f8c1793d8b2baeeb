"""How ratios by pixel classes agree: H&E against Ki-67, and each against the nuclei."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tumor_ratio.metrics.aggregation import slide_macro
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
    places : `slide_id` and `tile_id` of each region; index as `ratios`.
    medians : by reference, a column of `ratios`, the median of that very ratio on training slides:
        its constant answer stands beside each estimate. A column is not held against a reference
        that comes before it here.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.SectionAgreement`, by patch and by tile. Figures are means over slides
        of a slide's mean; undefined are regions (patches or tiles) where the reference is defined
        and the estimate is not.
    """
    order = list(medians)
    rows = []
    for unit in ("patch", "tile"):
        for reference, median in medians.items():
            for estimate in ratios.columns:
                earlier = estimate in order and order.index(estimate) >= order.index(reference)
                if not earlier:
                    names = [estimate, reference]
                    asked = ratios[names][ratios[reference].notna()]
                    defined, n_asked, slides = asked.dropna(), len(asked), places["slide_id"]
                    if unit == "tile":
                        n_asked = places["tile_id"].reindex(asked.index).nunique()
                        defined = _by_tile(defined, areas[names], places["tile_id"])
                        slides = places.drop_duplicates("tile_id").set_index("tile_id")["slide_id"]
                    own = slides.reindex(defined.index)
                    rows.append(
                        {
                            "estimate": estimate,
                            "against": reference,
                            "unit": unit,
                            "n_slides": own.nunique(),
                            "n_regions": len(defined),
                            "n_undefined": n_asked - len(defined),
                            **_scores(defined[estimate], defined[reference], own, median),
                        }
                    )
    return pd.DataFrame(rows)


def _scores(
    found: pd.Series, true: pd.Series, slide_ids: pd.Series, median: float
) -> dict[str, float]:
    """Means over slides of the mean over a slide's regions; NaN without any."""
    names = (*METRICS, "mae_of_median")
    if found.empty:
        return dict.fromkeys(names, np.nan)
    values, targets = (each.to_numpy(dtype=np.float64) for each in (found, true))
    losses = [*(REGION_METRICS[name](values, targets) for name in METRICS)]
    losses.append(np.abs(targets - median))
    return {n: slide_macro(loss, slide_ids) for n, loss in zip(names, losses, strict=True)}


def _by_tile(ratios: pd.DataFrame, areas: pd.DataFrame, tile_id: pd.Series) -> pd.DataFrame:
    """Means weighted by area; all ratios are defined."""
    weights = areas.loc[ratios.index]
    tiles = tile_id.loc[ratios.index]
    return (ratios * weights).groupby(tiles).sum() / weights.groupby(tiles).sum()
