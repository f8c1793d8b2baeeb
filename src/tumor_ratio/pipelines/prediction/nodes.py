"""Nodes of prediction: plan, open, predict, gather."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import pandas as pd

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.opening import OpeningParams
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.pipelines.prediction.new_slides import open_new_slide, planned_slides
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.pipelines.prediction.ratios import slide_ratio, stamped
from tumor_ratio.pipelines.prediction.slide_step import predict_new_slide
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]


def plan_new_slides(params: PredictionParams) -> tuple[PlannedPair, ...]:
    """List the slides to predict; a manifest is checked whole here."""
    return planned_slides(params)


def open_new_slides(plan: tuple[PlannedPair, ...], params: PredictionParams) -> SlideTasks:
    """Open each slide's H&E, one task a slide."""
    opening = OpeningParams(pyramids=params.pyramids, allowed_root=params.allowed_root)
    return {planned.slide_id: partial(open_new_slide, planned, opening) for planned in plan}


def predict_slides(new_slides: Parts, model: ModelRef, params: PredictionParams) -> SlideTasks:
    """Ratios of every tissue region, one task a slide."""
    return {
        slide_id: partial(
            predict_new_slide,
            SlidePair.from_record(part.load()),
            model,
            params.min_tissue,
            params.compute,
            params.flips,
        )
        for slide_id, part in new_slides.items()
    }


def gather_ratios(
    slide_region_ratios: Parts, new_slides: Parts, model: ModelRef, params: PredictionParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One table of regions and one of slides, every row stamped."""
    parts = {slide_id: part.load() for slide_id, part in slide_region_ratios.items()}
    pairs = {slide_id: SlidePair.from_record(new_slides[slide_id].load()) for slide_id in parts}
    regions = pd.concat(parts.values(), ignore_index=True)
    slides = pd.DataFrame(
        [{"slide_id": slide_id, **slide_ratio(part)} for slide_id, part in parts.items()]
    )
    tables = tuple(stamped(table, pairs, model.card, params) for table in (regions, slides))
    for warning in tables[1]["domain_warning"].unique():
        if warning:
            logger.warning("the model may not be valid for these slides: %s", warning)
    logger.warning("%s", tables[1]["stamp"].iloc[0])
    return tables[0], tables[1]
