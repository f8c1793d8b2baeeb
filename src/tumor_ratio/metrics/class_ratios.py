"""Ratios from the areas that a pixel classification gives to its classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


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
