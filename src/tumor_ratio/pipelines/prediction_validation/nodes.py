"""Nodes of prediction_validation: which slides, what is said of them, how far off it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.inference.new_slide_calibration import NewSlideCalibration
from tumor_ratio.inference.summary import FociOptions
from tumor_ratio.labelling.params import NucleiModelParams, SegmentationParams
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom
from tumor_ratio.phantom.truth import truth_plan
from tumor_ratio.pipelines.prediction_validation.params import PredictionValidationParams
from tumor_ratio.pipelines.prediction_validation.scores import (
    AS_DRAWN,
    area_rows,
    curve_rows,
    focus_rows,
    interval_rows,
    slide_rows,
    validation_metrics,
)
from tumor_ratio.pipelines.prediction_validation.slide_step import (
    LabelOptions,
    SlideOptions,
    validate_slide,
)
from tumor_ratio.pipelines.prediction_validation.tumor_areas import with_tumor_areas
from tumor_ratio.pipelines.prediction_validation.validation_text import validation_text
from tumor_ratio.reporting.figures.validated_areas import draw_validated_areas
from tumor_ratio.reporting.stamps import CIRCULAR, NUCLEI_BY_NETWORK, stamps_for
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]
SEPARATOR = ", "
"""Between condition and slide in the name of a part."""


def plan_validation(cohort: Cohort, params: PredictionValidationParams) -> dict[str, PhantomSlide]:
    """The slides by condition and id: as drawn, then with each labelling and nothing else changed.

    Raises
    ------
    ConfigurationError
        If the finished run was made on one of these slides.
    SlideError
        If it was made on a phantom whose truth is gone, so that this cannot be told.
    """
    drawn = plan_phantom(params.phantoms)
    for pair in cohort:
        if pair.truth_dir is None:
            continue
        try:
            seen = truth_plan(pair.truth_dir)
        except FileNotFoundError as error:
            raise SlideError(
                pair.slide_id,
                f"has no truth in {pair.truth_dir}, and may be one of those to be predicted",
                "render it again: kedro run --pipelines=data_processing",
            ) from error
        if seen.key in {slide.key for slide in drawn}:
            raise ConfigurationError(
                f"seed {params.phantoms.seed} gives slides that the model may have learned from",
                "set prediction_validation.phantoms.seed to a number that no cohort uses",
            )
    planned = {(AS_DRAWN, slide.slide_id): slide for slide in drawn}
    for labelling in params.labellings:
        planned |= {
            (f"labelling {labelling:g}", slide.slide_id): replace(
                slide, tumor_labelling=labelling, expected_ratio=float("nan")
            )
            for slide in drawn
        }
    return {SEPARATOR.join(name): slide for name, slide in planned.items()}


def validate_slides(
    validation_plan: dict[str, PhantomSlide],
    model: ModelRef,
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    params: PredictionValidationParams,
) -> SlideTasks:
    """Predictions beside the truth, one task a condition and slide.

    The neighbouring section is measured of slides as drawn only: intervals promise nothing else.
    """
    known = NewSlideCalibration.read(model.folder)
    calibration = None if known is None else known.to_record()
    label = LabelOptions(locate_segmenter(nuclei_model.choice), segmentation)
    options = SlideOptions(
        step_px=params.step_px,
        min_tissue=params.min_tissue,
        foci=FociOptions(params.tau, params.min_focus_um2, params.merge_um),
        min_nuclei=params.min_nuclei,
        diameter_edges_um=params.diameter_edges_um,
        compute=params.compute,
        flips=params.flips,
    )
    return {
        name: partial(
            validate_slide,
            slide,
            model,
            calibration,
            label if name.startswith(AS_DRAWN) else None,
            options,
        )
        for name, slide in validation_plan.items()
    }


def score_validation(
    validation_slides: Parts, model: ModelRef, params: PredictionValidationParams
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Slides, areas, curves, foci and intervals; and a few figures for MLflow.

    Raises
    ------
    ConfigurationError
        If no slide as drawn was predicted.
    """
    results = {_condition_and_slide(name): part.load() for name, part in validation_slides.items()}
    if AS_DRAWN not in {condition for condition, _ in results}:
        raise ConfigurationError(
            "no slide could be predicted as it was drawn", "see the failures, and predict again"
        )
    slides = with_tumor_areas(slide_rows(results))
    for row in slides[slides["label_reason"] != ""].itertuples():
        logger.warning("slide %s has no measured ratio: %s", row.slide_id, row.label_reason)
    areas, curves, foci = area_rows(slides), curve_rows(results), focus_rows(results)
    intervals = interval_rows(results, slides, params.burden_edges)
    tables = (slides, areas, curves, foci, intervals)
    for table in tables:
        table.attrs["stamp"] = _stamps(model)
    return (*tables, validation_metrics(areas, foci, intervals))


def tell_validation(
    slides: pd.DataFrame,
    areas: pd.DataFrame,
    foci: pd.DataFrame,
    intervals: pd.DataFrame,
    model: ModelRef,
) -> str:
    """The results as text; the log shows them, too."""
    text = validation_text(slides, areas, foci, intervals, _stamps(model))
    logger.info("\n%s", text)
    return text


def draw_validation(
    slides: pd.DataFrame,
    areas: pd.DataFrame,
    curves: pd.DataFrame,
    intervals: pd.DataFrame,
    model: ModelRef,
) -> Figure:
    """Areas by slide and over tau, against the tumor's by labelling, and coverage by burden."""
    return draw_validated_areas(slides, areas, curves, intervals, stamps=_stamps(model))


def _condition_and_slide(name: str) -> tuple[str, str]:
    condition, _, slide_id = name.partition(SEPARATOR)
    return condition, slide_id


def _stamps(model: ModelRef) -> list[str]:
    kind = model.card["training_data"]
    circular = [CIRCULAR] if kind == "phantom" else []
    return [*stamps_for(kind), NUCLEI_BY_NETWORK, *circular]
