"""Steps that turn nuclei into ratio labels, and describe patches by what H&E shows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.cohort.patch_colours import mean_colour
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.labelling.params import RatioLabelParams
from tumor_ratio.labelling.table_ref import TableRef
from tumor_ratio.metrics.ratios import region_ratios, region_sums
from tumor_ratio.steps import step


@step(name="measure_ratio_labels", version=1)
def measure_slide(
    frame_mpp: float,
    regions: pd.DataFrame,
    pair_weights: pd.DataFrame,
    nuclei: TableRef,
    params: RatioLabelParams,
) -> pd.DataFrame:
    """Ratio labels of one slide's tiles and patches by the method `nucleus`.

    Parameters
    ----------
    frame_mpp : micrometres per level-0 pixel of the pair's frame.
    regions : rows of `Regions`.
    pair_weights : columns region_id (of tiles) and weight.
    nuclei : the IHC nuclei.
    params : see there.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.RatioLabels`; weight = effective number of nuclei x the weight of the
        tile pair (1 where that is unknown).
    """
    labels = region_ratios(
        regions,
        nuclei.load(),
        frame_mpp,
        min_nuclei=params.min_nuclei,
        level=params.interval_level,
        spatial_correlation=params.spatial_correlation,
    )
    weight_of = pair_weights.set_index("region_id")["weight"]
    labels["weight"] *= regions["tile_id"].map(weight_of).fillna(1.0).to_numpy()
    return labels


@step(name="describe_patches", version=2)
def describe_slide_patches(
    pair: SlidePair, patches: pd.DataFrame, nuclei: TableRef
) -> pd.DataFrame:
    """Mean colour and nuclei of each H&E patch of a slide.

    Parameters
    ----------
    pair : with an H&E slide.
    patches : rows of `Regions`.
    nuclei : the H&E nuclei.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.PatchFeatures`; colours in [0, 255].
    """
    colours = np.array([mean_colour(pair, region) for region in iter_regions(patches)])
    found = nuclei.load()
    area = found["area_um2"].to_numpy(dtype=np.float64)
    sums = region_sums(
        patches,
        found[["x_he_px", "y_he_px"]].to_numpy(dtype=np.float64),
        np.stack([np.ones_like(area), area], axis=1),
        pair.frame.mpp,
    )
    colours = colours.reshape(-1, 3)
    return pd.DataFrame(
        {
            "region_id": patches["region_id"].to_numpy(),
            "mean_red": colours[:, 0],
            "mean_green": colours[:, 1],
            "mean_blue": colours[:, 2],
            "n_he_nuclei": sums[:, 0].astype(np.int64),
            "he_nuclei_um2": sums[:, 1],
        }
    )
