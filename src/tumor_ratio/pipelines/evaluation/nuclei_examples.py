"""Ki-67 tiles with the nuclei found in them, for the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.labelling.pictures import nuclei_tile
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile

logger = logging.getLogger(__name__)

SHOWN = 3
MPP = 0.5
MOST_SIDE_UM = 200.0
"""A tile's middle of this width is shown: in more of it nuclei would be too small to see."""


def example_tiles(
    cohort: Cohort,
    tiles: pd.DataFrame,
    pair_quality: pd.DataFrame,
    staining_quality: pd.DataFrame,
    ihc_nuclei: Mapping[str, PartitionRef],
) -> list[NucleiTile]:
    """A kept tile of each of three slides, from the lowest measured ratio to the highest.

    A slide that cannot be read is named in the log and left out.
    """
    kept = pair_quality.loc[pair_quality["kept"].astype(bool), "region_id"]
    own = tiles[tiles["region_id"].isin(kept)]
    ranked = staining_quality.dropna(subset=["tumor_ratio"]).sort_values("tumor_ratio")
    ranked = ranked[ranked["slide_id"].isin(own["slide_id"]) & ranked["slide_id"].isin(ihc_nuclei)]
    if ranked.empty:
        return []
    places = {round(index * (len(ranked) - 1) / (SHOWN - 1)) for index in range(SHOWN)}
    pictures = []
    for slide_id in (str(ranked["slide_id"].iloc[place]) for place in sorted(places)):
        candidates = list(iter_regions(own[own["slide_id"] == slide_id]))
        try:
            pictures.append(
                _picture(
                    cohort[slide_id], candidates[len(candidates) // 2], ihc_nuclei[slide_id].load()
                )
            )
        except SlideError as error:
            logger.warning("no picture of nuclei: %s", error)
    return pictures


def _picture(pair: SlidePair, tile: Region, nuclei: pd.DataFrame) -> NucleiTile:
    """The middle of a tile on the IHC slide's own pixels, where nuclei were segmented."""
    slide = pair.ihc
    assert slide is not None
    centre_um = np.array([[tile.x_px, tile.y_px]]) * pair.frame.mpp + tile.side_um / 2
    if pair.he is not None:
        centre_um = pair.transform.forward(centre_um)
    x_um, y_um = centre_um[0].tolist()
    side_um = min(tile.side_um, MOST_SIDE_UM)
    corner = ((x_um - side_um / 2) / slide.mpp, (y_um - side_um / 2) / slide.mpp)
    return nuclei_tile(
        slide.read(*corner, round(side_um / MPP), MPP),
        nuclei,
        corner_px=corner,
        level0_mpp=slide.mpp,
        mpp=MPP,
        title=pair.slide_id,
    )
