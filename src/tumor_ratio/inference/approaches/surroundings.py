"""What approaches share that need more of a slide than each region's own pixels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tumor_ratio.imaging.regions import Region, regions_table
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.inference.mended_slide import MendedSlide, mended
from tumor_ratio.inference.region_model import Answers, Reading, in_batches
from tumor_ratio.inference.region_reading import ReadRegion, RegionReader

MEDIAN = "training_median"
"""Key of a card: what regions are answered with whose pixels say nothing."""

MANY = 0.1
"""Share of a slide's regions that show too few nuclei, over which whoever waits is warned."""

RatiosOn = Callable[[MendedSlide, pd.DataFrame], NDArray[np.float64]]
"""`ratios_on(slide, regions)`: (N,) raw ratios of regions (`schemas.Regions`), NaN where too few
nuclei show."""

logger = logging.getLogger(__name__)


def answer_together(
    slide: Slide,
    regions: Sequence[Region],
    reading: Reading,
    ratios_on: RatiosOn,
    card: Mapping[str, Any],
) -> Answers:
    """Answer regions that are worked on all at once.

    Parameters
    ----------
    slide, regions, reading : see `RegionModel.answer`.
    ratios_on : gives the ratios of those that can be read.
    card : its `MEDIAN` answers where too few nuclei show, as it does when the approach is
        evaluated; `Answers.by_median` says where, and the log how often, as a warning where it is
        often.
    """
    reader = RegionReader(slide, regions, 1.0, reading.threads)
    measured = in_batches(reader, _nothing, replace(reading, tell=lambda _: None))
    readable = np.flatnonzero(np.isfinite(measured.nuclear_um2)).tolist()
    if not readable:
        return measured
    raw, by_median = np.full(len(regions), np.nan), np.zeros(len(regions), dtype=bool)
    ratios = ratios_on(mended(slide), regions_table(regions[number] for number in readable))
    unknown = np.isnan(ratios)
    if unknown.any():
        level = logging.WARNING if unknown.mean() > MANY else logging.INFO
        logger.log(
            level,
            "slide %s: %d of %d regions show too few nuclei and get the training slides' median",
            *(slide.slide_id, unknown.sum(), len(unknown)),
        )
    raw[readable], by_median[readable] = np.where(unknown, float(card[MEDIAN]), ratios), unknown
    reading.tell(len(regions))
    return replace(measured, raw=raw, by_median=by_median)


def _nothing(regions: list[ReadRegion]) -> NDArray[np.float64]:
    return np.full(len(regions), np.nan)
