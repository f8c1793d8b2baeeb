"""How ratios by pixel classes agree: H&E against Ki-67, and each against the nuclei."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.metrics.agreement import REGION_METRICS

NUCLEI = "Ki-67 per nucleus"
METRICS = ("within_0_05", "within_0_1", "within_0_2", "mse", "mae")


def section_agreement(
    ratios: pd.DataFrame,
    areas: pd.DataFrame,
    places: pd.DataFrame,
    *,
    against: tuple[str, ...],
    median: float,
) -> pd.DataFrame:
    """Agreement of each column of ratios with each that others are held against.

    Parameters
    ----------
    ratios : a column an estimate; indexed by region.
    areas : the nuclear area behind each ratio, um2; columns and index as `ratios`. A tile's ratio
        is the mean of its regions', weighted by area.
    places : `tile_id` of each region; index as `ratios`.
    against : columns of `ratios` that serve as reference, last to first: a column is not held
        against one that comes before it.
    median : of the training slides, whose constant answer stands beside each estimate.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.SectionAgreement`, by patch and by tile.
    """
    rows = []
    for unit, table in (("patch", ratios), ("tile", _by_tile(ratios, areas, places))):
        for reference in against:
            for estimate in ratios.columns:
                if estimate == reference or _later(against, estimate, reference):
                    continue
                rows.append(_compared(table, estimate, reference, unit, median))
    return pd.DataFrame(rows)


def _later(against: tuple[str, ...], estimate: str, reference: str) -> bool:
    return estimate in against and against.index(estimate) > against.index(reference)


def _compared(
    table: pd.DataFrame, estimate: str, reference: str, unit: str, median: float
) -> dict[str, object]:
    both = table[[estimate, reference]]
    known = both[both[reference].notna()]
    defined = known.dropna()
    found, true = (defined[name].to_numpy(dtype=np.float64) for name in (estimate, reference))
    scores = {
        name: float(REGION_METRICS[name](found, true).mean()) if len(defined) else np.nan
        for name in METRICS
    }
    constant = float(np.abs(true - median).mean()) if len(defined) else np.nan
    return {
        "estimate": estimate,
        "against": reference,
        "unit": unit,
        "n_regions": len(defined),
        "n_undefined": len(known) - len(defined),
        **scores,
        "mae_of_median": constant,
    }


def _by_tile(ratios: pd.DataFrame, areas: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Area-weighted means over the regions where a ratio is defined."""
    weights = areas.where(ratios.notna())
    sums = (ratios * weights).groupby(places["tile_id"]).sum(min_count=1)
    return sums / weights.groupby(places["tile_id"]).sum(min_count=1)
