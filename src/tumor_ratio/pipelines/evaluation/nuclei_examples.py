"""Ki-67 tiles with the nuclei found in them, for the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.labelling.pictures import section_picture
from tumor_ratio.reporting.figures.nuclei_overlay import NucleiTile

logger = logging.getLogger(__name__)

SHOWN = 3
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
                section_picture(
                    cohort[slide_id],
                    candidates[len(candidates) // 2],
                    ihc_nuclei[slide_id].load(),
                    slide_id,
                    most_um=MOST_SIDE_UM,
                )
            )
        except SlideError as error:
            logger.warning("no picture of nuclei: %s", error)
    return pictures
