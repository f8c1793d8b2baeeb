"""What patches of calibration slides weigh at prediction: one step a slide."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.imaging.nuclear_area import hematoxylin_area_um2, hematoxylin_threshold
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import iter_regions, regions_of
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.metrics.folds import keys_of, slides_of
from tumor_ratio.steps import SlideTasks, step

STAIN_SAMPLE = 64
"""Patches, spread over the slide, that its threshold is taken from."""


@step(name="measure_hematoxylin", version=1)
def hematoxylin_areas(slide: Slide, patches: pd.DataFrame) -> pd.DataFrame:
    """Hematoxylin-stained area of a slide's patches: the weights that prediction gives to regions.

    Parameters
    ----------
    slide : the H&E slide.
    patches : its patches (`schemas.Regions`), at least one.

    Returns
    -------
    DataFrame
        region_id; hematoxylin_um2, float64.

    Raises
    ------
    SlideError
        If the slide cannot be read.
    """
    mpp = float(patches["mpp"].iloc[0])
    reader = PatchReader({slide.slide_id: slide}, list(iter_regions(patches)), cache_mb=0)
    n_sampled = min(STAIN_SAMPLE, len(reader))
    sample = ((np.arange(n_sampled) + 0.5) * len(reader) / n_sampled).astype(np.intp)
    threshold = hematoxylin_threshold(reader.read(sample), mpp)
    areas = [
        hematoxylin_area_um2(reader.read([index])[0], mpp, threshold=threshold)
        for index in range(len(reader))
    ]
    return pd.DataFrame(
        {"region_id": patches["region_id"].to_numpy(), "hematoxylin_um2": np.array(areas)}
    )


def area_tasks(cohort: Cohort, patches: pd.DataFrame, folds: pd.DataFrame) -> SlideTasks:
    """Weights of the patches of the slides that calibrate intervals, one task a slide.

    These are the test slides of each protocol's first fold: of its model, which is the published
    one.

    Parameters
    ----------
    cohort : the slides.
    patches : `schemas.Regions`.
    folds : `schemas.Folds`.
    """
    slides: set[str] = set()
    for protocol in folds["protocol"].unique():
        first, *_ = keys_of(folds, protocol)
        slides |= slides_of(folds, protocol, "test", key=first)
    tasks = {}
    for pair in cohort:
        own = regions_of(patches, pair.slide_id)
        if pair.slide_id in slides and pair.he is not None and len(own):
            tasks[pair.slide_id] = partial(hematoxylin_areas, pair.he, own)
    return tasks
