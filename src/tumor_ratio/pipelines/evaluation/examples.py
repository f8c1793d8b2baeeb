"""Test regions to look at: where a model is right, and where it is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region, iter_regions
from tumor_ratio.labelling.region_outlines import region_outlines
from tumor_ratio.reporting.outlined_picture import outlined_picture

logger = logging.getLogger(__name__)

RgbImage = NDArray[np.uint8]

MOST_SIDE_PX = 320

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
    outlined: RgbImage | None
    """Ki-67 with the nuclei that the measured ratio counts."""


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
    cohort: Cohort,
    patches: pd.DataFrame,
    chosen: pd.DataFrame,
    output: str,
    ihc_nuclei: Mapping[str, PartitionRef],
) -> list[ExampleRegion]:
    """The pictures of chosen regions; a slide that cannot be read costs its pictures only."""
    regions = {
        region.region_id: region
        for region in iter_regions(patches[patches["region_id"].isin(chosen["region_id"])])
    }
    examples = []
    for row in chosen.to_dict("records"):
        region = regions[row["region_id"]]
        pair = cohort[region.slide_id]
        ihc = _read(pair, region, "ihc")
        outlined = None if ihc is None else _outlined(pair, region, ihc, ihc_nuclei)
        examples.append(
            ExampleRegion(
                row["group"],
                row["region_id"],
                row["slide_id"],
                row["measured"],
                row[output],
                _small(_read(pair, region, "he")),
                _small(ihc),
                _small(outlined),
            )
        )
    return examples


def _outlined(
    pair: SlidePair, region: Region, rgb: RgbImage, ihc_nuclei: Mapping[str, PartitionRef]
) -> RgbImage | None:
    if region.slide_id not in ihc_nuclei:
        return None
    outlines = region_outlines(pair, region, ihc_nuclei[region.slide_id].load())
    return outlined_picture(rgb, outlines.polygons, outlines.positive)


def _read(pair: SlidePair, region: Region, section: str) -> RgbImage | None:
    try:
        return pair.read_he(region) if section == "he" else pair.read_ihc(region)
    except SlideError as error:
        logger.warning("no %s picture of %s: %s", section, region.region_id, error)
        return None


def _small(rgb: RgbImage | None) -> RgbImage | None:
    """At most about 320 px a side."""
    if rgb is None or max(rgb.shape) <= MOST_SIDE_PX:
        return rgb
    image = Image.fromarray(rgb)
    image.thumbnail((MOST_SIDE_PX, MOST_SIDE_PX))
    return np.array(image)
