"""Test regions to look at: where the best network is right, and where it is wrong."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, iter_regions

logger = logging.getLogger(__name__)

RgbImage = NDArray[np.uint8]

MAX_SIDE_PX = 320

BEST = "Closest, over the range of measured ratios"
WORST = "Furthest off"


class ExampleRegion(NamedTuple):
    """A region with its pictures; None where there is no section or it cannot be read."""

    group: str
    region_id: str
    slide_id: str
    measured: float
    predicted: float
    he: RgbImage | None
    ihc: RgbImage | None


def pick_examples(own: pd.DataFrame, tile_of: pd.Series, output: str, count: int) -> pd.DataFrame:
    """Best and worst regions of one approach.

    Parameters
    ----------
    own : `schemas.ComparedRegions` of one approach and one reference.
    tile_of : tile id by region id; the worst regions come from different tiles, because overlapping
        patches of one spot would otherwise fill the list.
    output : "raw" or "calibrated".
    count : of each group, at most.

    Returns
    -------
    DataFrame
        The rows with a column `group`. The best are the closest of equal groups of the measured
        ratio, from low to high: the overall best would all lie near 0.
    """
    rows = own[own[output].notna()].drop_duplicates("region_id")
    if rows.empty or count == 0:
        return rows.iloc[:0].assign(group="")
    rows = rows.assign(
        error=(rows[output] - rows["measured"]).abs(), tile_id=rows["region_id"].map(tile_of)
    )
    worst = rows.sort_values("error", ascending=False).drop_duplicates("tile_id").head(count)
    rest = rows.drop(index=worst.index).sort_values("measured", kind="stable")
    part = (np.arange(len(rest)) * min(count, len(rest)) // max(len(rest), 1)).astype(int)
    best = rest.assign(part=part).sort_values("error").drop_duplicates("part").sort_values("part")
    return pd.concat([best.assign(group=BEST), worst.assign(group=WORST)])


def read_examples(
    cohort: Cohort, patches: pd.DataFrame, chosen: pd.DataFrame, output: str
) -> list[ExampleRegion]:
    """The pictures of chosen regions; a slide that cannot be read costs its pictures only."""
    regions = {
        region.region_id: region
        for region in iter_regions(patches[patches["region_id"].isin(chosen["region_id"])])
    }
    examples = []
    for row in chosen.to_dict("records"):
        region = regions[row["region_id"]]
        he, ihc = (_read(cohort, region, section) for section in ("he", "ihc"))
        examples.append(
            ExampleRegion(
                row["group"],
                row["region_id"],
                row["slide_id"],
                row["measured"],
                row[output],
                he,
                ihc,
            )
        )
    return examples


def _read(cohort: Cohort, region: Region, section: str) -> RgbImage | None:
    pair = cohort[region.slide_id]
    try:
        rgb = pair.read_he(region) if section == "he" else pair.read_ihc(region)
    except SlideError as error:
        logger.warning("no %s picture of %s: %s", section, region.region_id, error)
        return None
    return rgb[:: -(-rgb.shape[0] // MAX_SIDE_PX), :: -(-rgb.shape[1] // MAX_SIDE_PX)]
