"""Do the two sections of a tile show the same tissue? Judged by how many nuclei each holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.metrics.ratios import region_sums


def nuclei_counts(
    tiles: pd.DataFrame, nuclei: pd.DataFrame | None, frame_mpp: float
) -> NDArray[np.float64]:
    """Nuclei of one section in each tile.

    Parameters
    ----------
    tiles : rows of `Regions` of one slide.
    nuclei : rows of `Nuclei`, or None where the section has none to offer.
    frame_mpp : micrometres per level-0 pixel.

    Returns
    -------
    (K,) float64
        NaN without nuclei table.
    """
    if nuclei is None:
        return np.full(len(tiles), np.nan)
    xy_px = nuclei[["x_he_px", "y_he_px"]].to_numpy(dtype=np.float64)
    return region_sums(tiles, xy_px, np.ones((len(nuclei), 1)), frame_mpp)[:, 0]


def density_agreement(
    he_nuclei: NDArray[np.float64], ihc_nuclei: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smaller over larger count, in [0, 1]; NaN where a count is unknown or both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        larger = np.maximum(he_nuclei, ihc_nuclei)
        return np.where(larger > 0, np.minimum(he_nuclei, ihc_nuclei) / larger, np.nan)


def judge(
    quality: pd.DataFrame,
    he_nuclei: NDArray[np.float64],
    ihc_nuclei: NDArray[np.float64],
    *,
    paired: bool,
    min_agreement: float,
) -> pd.DataFrame:
    """The final choice of one slide's tiles.

    Parameters
    ----------
    quality : rows of `TileQuality`, in the order of the counts.
    he_nuclei, ihc_nuclei : (K,) counts, NaN where a section was not segmented.
    paired : whether the slide has both sections; otherwise there is nothing to agree with, and a
        tile keeps its place with weight 1.
    min_agreement : a pair below this is not kept.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.PairQuality`; the weight is the agreement, 0 for what is not kept.
    """
    agreement = density_agreement(he_nuclei, ihc_nuclei)
    kept = quality["kept"].to_numpy(dtype=bool)
    reason = quality["reason"].to_numpy(dtype=object).copy()
    if paired:
        unknown = kept & (np.isnan(he_nuclei) | np.isnan(ihc_nuclei))
        empty = kept & (he_nuclei == 0) & (ihc_nuclei == 0)
        apart = kept & (agreement < min_agreement)
        reason[unknown] = "the nuclei of a section are missing"
        reason[empty] = "no nuclei on either section"
        for index in np.flatnonzero(apart):
            reason[index] = (
                f"nuclei density agreement {agreement[index]:.2f} under {min_agreement:g}"
            )
        kept = kept & ~unknown & ~empty & ~apart
        weight = np.where(kept, np.nan_to_num(agreement), 0.0)
    else:
        weight = np.where(kept, 1.0, 0.0)
    return pd.DataFrame(
        {
            "region_id": quality["region_id"].to_numpy(),
            "slide_id": quality["slide_id"].to_numpy(),
            "he_nuclei": he_nuclei,
            "ihc_nuclei": ihc_nuclei,
            "density_agreement": agreement,
            "weight": weight,
            "kept": kept,
            "reason": reason,
        }
    )
