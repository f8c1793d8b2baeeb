"""The tumor ratio of every tissue region of one slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tumor_ratio.errors import SlideError
from tumor_ratio.imaging.regions import Region
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.imaging.tissue_classes import blurred
from tumor_ratio.inference.progress import SlideProgress
from tumor_ratio.inference.region_grid import RegionGrid, list_regions
from tumor_ratio.inference.region_model import Reading, RegionModel
from tumor_ratio.inference.survey import SlideSurvey

BATCH = 32
COARSER = 1.1
"""A slide may be scanned this much coarser than the model's resolution."""
MOST_UNREADABLE = 0.5
"""Share of the regions that damage may cost before it costs the slide."""


def predict_regions(
    slide: Slide,
    model: RegionModel,
    survey: SlideSurvey,
    grid: RegionGrid,
    *,
    batch_size: int = BATCH,
    threads: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Ratios of all regions of a slide that show tissue.

    Parameters
    ----------
    slide : the H&E slide.
    model : what answers; `grid` has its size and resolution.
    survey : of the slide.
    grid : the regions.
    batch_size : regions computed at once.
    threads : that read; by default all of this process's threads.
    tell : called with the number of finished regions; by default log lines.

    Returns
    -------
    DataFrame
        What `list_regions` gives, with tumor_ratio (the model's, clipped to [0, 1]),
        tumor_ratio_calibrated, nuclear_um2 (hematoxylin-stained area, the region's weight) and
        sharpness; NaN where there is a reason, one of `REASONS`. answered_by_median is True where
        the ratio is the training slides' median, since too few nuclei show; of networks never.

    Raises
    ------
    SlideError
        If the slide is scanned too coarsely for the model, or most regions cannot be read.

    Notes
    -----
    Answers do not depend on the order of reading, nor on threads. Under bf16 or on a GPU an answer
    of a network may depend on the batch's shape: there it always gets full batches, the last one
    filled up.
    """
    check_resolution(slide, min(model.mpp, model.seen_mpp))
    table = list_regions(slide, survey, grid)
    scored = np.flatnonzero(table["reason"] == "")
    values = np.full((len(table), 3), np.nan)
    by_median = np.zeros(len(table), dtype=bool)
    reasons = table["reason"].to_numpy(dtype=object)
    if len(scored):
        regions = [
            Region(slide.slide_id, "", "tile", int(x), int(y), grid.size_px, grid.mpp)
            for x, y in table[["x_px", "y_px"]].to_numpy()[scored]
        ]
        reading = Reading(batch_size, threads, tell or SlideProgress(slide.slide_id, len(regions)))
        found = model.answer(slide, regions, reading)
        values[scored] = np.stack([found.raw, found.nuclear_um2, found.sharpness], axis=1)
        by_median[scored] = found.by_median
        unreadable = np.isnan(found.nuclear_um2)
        if found.problem and unreadable.mean() > MOST_UNREADABLE:
            raise found.problem
        reasons[scored[unreadable]] = "unreadable"
        read = scored[~unreadable]
        reasons[read[blurred(values[read, 2])]] = "blurred"
    values[reasons != "", :2] = np.nan
    has_ratio = reasons == ""
    if np.isnan(values[has_ratio, 0]).any():
        raise SlideError(
            slide.slide_id,
            "the model answers some regions with no number",
            "predict with `prediction.compute.precision=float32`, or train the model again",
        )
    calibrated = np.full(len(table), np.nan)
    calibrated[has_ratio] = model.monotone.apply(values[has_ratio, 0])
    return table.assign(
        tumor_ratio=values[:, 0].clip(0, 1),
        tumor_ratio_calibrated=calibrated,
        nuclear_um2=values[:, 1],
        sharpness=values[:, 2],
        answered_by_median=by_median & has_ratio,
        reason=pd.Series(reasons, index=table.index, dtype="str"),
    )


def check_resolution(slide: Slide, model_mpp: float) -> None:
    """Refuse a slide that shows less than the model has learned from.

    Raises
    ------
    SlideError
        If the slide is scanned coarser by more than a tenth.
    """
    if slide.mpp > COARSER * model_mpp:
        raise SlideError(
            slide.slide_id,
            f"is scanned at {slide.mpp:.3g} um/px, coarser than the model's {model_mpp:.3g}",
            "use a finer scan, or a model that was trained at a coarser resolution",
        )
