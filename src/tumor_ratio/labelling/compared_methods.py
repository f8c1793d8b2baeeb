"""Other ways to label the same tiles, for comparison: the study's, and two that count pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.imaging.pixel_ratios import PixelCount, otsu_count, recolor_count
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.label_methods import OTSU, RECOLOR, STUDY
from tumor_ratio.labelling.params import ComparedLabelParams
from tumor_ratio.labelling.study_objects import stain_objects
from tumor_ratio.metrics.ratios import region_ratios
from tumor_ratio.models.segmentation import Segmenter
from tumor_ratio.models.segmenter import SegmenterRef, open_segmenter
from tumor_ratio.steps import step

PIXEL_METHODS = {RECOLOR: recolor_count, OTSU: otsu_count}


@step(name="measure_comparison_labels", version=1)
def measure_slide_otherwise(
    pair: SlidePair,
    tiles: pd.DataFrame,
    patches: pd.DataFrame,
    model: SegmenterRef,
    params: ComparedLabelParams,
) -> pd.DataFrame:
    """Labels of some tiles of a slide, and of the patches in them, by the other methods.

    Parameters
    ----------
    pair : with an IHC slide.
    tiles : the tiles to measure, rows of `Regions`.
    patches : the slide's patches; those of other tiles are left out.
    model : the study's network for both of its pictures.
    params : see there.

    Returns
    -------
    pandas.DataFrame
        `tumor_ratio.schemas.RatioLabels`. `study` counts the objects of both pictures; methods that
        count pixels have no nuclei, no interval and no weight, their areas are of stained pixels.
    """
    inside = patches[patches["tile_id"].isin(tiles["region_id"])]
    regions = pd.concat([tiles, inside], ignore_index=True)
    return pd.concat(
        [
            study_labels(pair, tiles, regions, open_segmenter(model), params),
            *(pixel_labels(pair, regions, method) for method in PIXEL_METHODS),
        ],
        ignore_index=True,
    )


def study_labels(
    pair: SlidePair,
    tiles: pd.DataFrame,
    regions: pd.DataFrame,
    segmenter: Segmenter,
    params: ComparedLabelParams,
) -> pd.DataFrame:
    """`RatioLabels` of regions by the study's method, each from its own tile's pictures."""
    parts = [
        region_ratios(
            regions[
                (regions["region_id"] == tile.region_id) | (regions["tile_id"] == tile.region_id)
            ],
            stain_objects(pair, tile, segmenter),
            pair.frame.mpp,
            min_nuclei=params.ratio.min_nuclei,
            method=STUDY,
            level=params.ratio.interval_level,
            spatial_correlation=params.ratio.spatial_correlation,
        )
        for tile in iter_regions(tiles)
    ]
    return pd.concat(parts, ignore_index=True)


def pixel_labels(pair: SlidePair, regions: pd.DataFrame, method: str) -> pd.DataFrame:
    """`RatioLabels` of regions by one of `PIXEL_METHODS`, each region by itself."""
    rows = []
    for region in iter_regions(regions):
        counted: PixelCount = PIXEL_METHODS[method](pair.read_ihc(region))
        um2 = region.mpp**2
        rows.append(
            {
                "region_id": region.region_id,
                "label_method": method,
                "tumor_ratio": counted.ratio,
                "lower": np.nan,
                "upper": np.nan,
                "positive_share": np.nan,
                "n_positive": 0,
                "n_nuclei": 0,
                "positive_um2": counted.brown * um2,
                "nuclei_um2": counted.stained * um2,
                "weight": 0.0,
            }
        )
    return pd.DataFrame(rows)
