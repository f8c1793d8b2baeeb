"""Nodes of prediction: plan, open, predict, summarise, gather."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from tumor_ratio.cohort.manifest import PlannedPair
from tumor_ratio.cohort.opening import OpeningParams
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.prediction_model import ASKED_FOR
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.output_tables import (
    animal_tables,
    curve_table,
    focus_table,
    region_table,
    slide_table,
)
from tumor_ratio.inference.summary import FociOptions
from tumor_ratio.pipelines.prediction.cohort_pictures import cohort_extras
from tumor_ratio.pipelines.prediction.new_slides import open_new_slide, planned_slides
from tumor_ratio.pipelines.prediction.params import PredictionParams
from tumor_ratio.pipelines.prediction.slide_steps import (
    PredictionOptions,
    calibration_record,
    declared_of,
    predict_new_slide,
    region_grid,
    summarise_new_slide,
)
from tumor_ratio.reporting.cohort_page import cohort_page
from tumor_ratio.reporting.html_report import render_report
from tumor_ratio.reporting.stamps import stamps_for
from tumor_ratio.reporting.without_paths import without_paths
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]


def plan_new_slides(
    params: PredictionParams, model: ModelRef
) -> tuple[tuple[PlannedPair, ...], pd.DataFrame]:
    """List the slides to predict; a manifest, a folder and the model are checked here."""
    check_model(params, model)
    planned, skipped = planned_slides(params)
    for name, reason in skipped.itertuples(index=False):
        logger.warning("%s is passed over: %s", name, reason)
    skipped.attrs["stamp"] = list(stamps_for(model.card["training_data"]))
    return planned, skipped


def open_new_slides(plan: tuple[PlannedPair, ...], params: PredictionParams) -> SlideTasks:
    """Open each slide's H&E, one task a slide."""
    opening = OpeningParams(pyramids=params.pyramids, allowed_root=params.allowed_root)
    return {planned.slide_id: partial(open_new_slide, planned, opening) for planned in plan}


def predict_slides(new_slides: Parts, model: ModelRef, params: PredictionParams) -> SlideTasks:
    """Ratios of every tissue region, one task a slide."""
    return {
        slide_id: partial(
            predict_new_slide, SlidePair.from_record(part.load()), model, _options(params)
        )
        for slide_id, part in new_slides.items()
    }


def summarise_slides(
    slide_region_ratios: Parts, new_slides: Parts, model: ModelRef, params: PredictionParams
) -> SlideTasks:
    """Ratio, areas, foci, warnings, maps and page of each slide, one task a slide."""
    from tumor_ratio.inference.slide_files import FileOptions

    files = FileOptions(params.overlay, params.overlay_mpp, params.geojson)
    calibration = calibration_record(model)
    foci = FociOptions(params.tau, params.min_focus_um2, params.merge_um, params.intervals_anyway)
    pairs = {name: SlidePair.from_record(new_slides[name].load()) for name in slide_region_ratios}
    return {
        slide_id: partial(
            summarise_new_slide,
            *(pairs[slide_id], regions, model, calibration, _options(params)),
            *(declared_of(pairs[slide_id], params), foci, params.labellings),
            *(files, params.slide_files),
        )
        for slide_id, regions in slide_region_ratios.items()
    }


def gather_ratios(
    slide_summaries: Parts,
    slide_region_ratios: Parts,
    plan: tuple[PlannedPair, ...],
    model: ModelRef,
) -> tuple[pd.DataFrame, ...]:
    """Regions, slides, foci, curves, animals and groups, every row stamped."""
    records = {slide_id: part.load() for slide_id, part in slide_summaries.items()}
    regions = {slide_id: slide_region_ratios[slide_id].load() for slide_id in records}
    slides = slide_table(records)
    for warning in slides["domain_warning"].unique():
        if warning:
            logger.warning("the model may not be valid for these slides: %s", warning)
    logger.warning("%s", slides["stamp"].iloc[0])
    return (
        region_table(regions, records, NewSlideCalibration.read(model.folder)),
        slides,
        focus_table(records),
        curve_table(records),
        *animal_tables(
            slides, {each.slide_id: each.meta for each in plan if each.slide_id not in records}
        ),
    )


def write_cohort_page(
    slide_summaries: Parts,
    animals: pd.DataFrame,
    groups: pd.DataFrame,
    failures: pd.DataFrame,
    plan: tuple[PlannedPair, ...],
    skipped: pd.DataFrame,
    params: PredictionParams,
) -> str:
    """All slides side by side, as one HTML page; it leads to the slides' own pages."""
    records = [part.load() for part in slide_summaries.values()]
    places = {str(each.he_path) for each in plan if each.he_path}
    places |= {f"{Path(each)}/" for each in (params.allowed_root, params.pyramids) if each}
    told = failures.assign(message=[without_paths(text, places) for text in failures["message"]])
    return render_report(
        cohort_page(records, told, cohort_extras(records, animals, groups, len(skipped)))
    )


def check_model(params: PredictionParams, model: ModelRef) -> None:
    """Refuse a model other than the one asked for, and regions that would leave gaps.

    Raises
    ------
    ConfigurationError
        If `prediction.model` or `prediction.step_px` cannot be had.
    """
    if params.model and params.model != model.card.get(ASKED_FOR, ""):
        raise ConfigurationError(
            f"`prediction.model` is {params.model}, which the catalog does not know",
            "give it as --params=prediction.model=..., or as `prediction_model` in globals.yml",
        )
    try:
        region_grid(model, _options(params))
    except ValueError as error:
        raise ConfigurationError(str(error), "correct `prediction.step_px`") from error


def _options(params: PredictionParams) -> PredictionOptions:
    return PredictionOptions(params.step_px, params.min_tissue, params.compute, params.flips)
