"""Nodes of stress: which slides, what label and approaches say of them, what a factor changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from tumor_ratio.cohort.pair import Cohort, SlidePair
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError, SlideError
from tumor_ratio.labelling.params import NucleiModelParams, SegmentationParams
from tumor_ratio.metrics.stress_scores import (
    NONE,
    stress_metrics,
    stress_rankings,
    stress_scores,
)
from tumor_ratio.models.segmenter import locate_segmenter
from tumor_ratio.phantom.plan import PhantomSlide, plan_phantom, stressed
from tumor_ratio.phantom.stress import Stress
from tumor_ratio.phantom.truth import truth_plan
from tumor_ratio.pipelines.stress import baselines
from tumor_ratio.pipelines.stress.baselines import FittedBaselines
from tumor_ratio.pipelines.stress.params import StressParams
from tumor_ratio.pipelines.stress.slide_step import (
    LabelOptions,
    RegionSize,
    measure_stressed_slide,
)
from tumor_ratio.reporting.figures.stress_changes import draw_stress_changes
from tumor_ratio.reporting.stamps import CIRCULAR, NUCLEI_BY_NETWORK, TrainingData, stamps_for
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

Parts = Mapping[str, PartitionRef]


def plan_stress(cohort: Cohort, params: StressParams) -> dict[str, PhantomSlide]:
    """The slides by a name that says family, factor and slide: without stress, then with each.

    Raises
    ------
    ConfigurationError
        If the finished run was made on one of these slides.
    SlideError
        If it was made on a phantom whose truth is gone, so that this cannot be told.
    """
    plain = plan_phantom(params.phantoms)
    planned = {_name(slide): slide for slide in plain}
    for name in params.factors:
        under = (stressed(slide, Stress(name, params.strength)) for slide in plain)
        planned |= {_name(slide): slide for slide in under}
    for family in params.other_families:
        others = plan_phantom(params.phantoms.model_copy(update={"family": family}))
        planned |= {_name(slide): slide for slide in others}
    seen = {_planned(pair).key for pair in cohort if pair.truth_dir is not None}
    if seen & {slide.key for slide in planned.values()}:
        raise ConfigurationError(
            f"seed {params.phantoms.seed} gives slides that the models may have learned from",
            "set stress.phantoms.seed to a number that no cohort uses",
        )
    return planned


def _planned(pair: SlidePair) -> PhantomSlide:
    """The plan that a phantom of the finished run was rendered from."""
    assert pair.truth_dir is not None
    try:
        return truth_plan(pair.truth_dir)
    except FileNotFoundError as error:
        raise SlideError(
            pair.slide_id,
            f"has no truth in {pair.truth_dir}, and may be one of those to be stressed",
            "render it again: kedro run --pipelines=data_processing",
        ) from error


def _name(slide: PhantomSlide) -> str:
    stress = NONE if slide.stress is None else slide.stress.name
    return f"{slide.family}_{stress}_{slide.slide_id}"


def fit_stress_baselines(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    references: pd.DataFrame,
    patch_features: pd.DataFrame,
    folds: pd.DataFrame,
    params: StressParams,
) -> FittedBaselines:
    """The training median and a ridge on colour, of the finished run's training slides."""
    return baselines.fit_baselines(
        patches,
        pair_quality,
        references,
        patch_features,
        folds,
        protocol=params.protocol,
        alphas=params.ridge_alphas,
    )


def measure_stress(
    stress_plan: dict[str, PhantomSlide],
    stress_baselines: FittedBaselines,
    nuclei_model: NucleiModelParams,
    segmentation: SegmentationParams,
    params: StressParams,
    **models: ModelRef,
) -> SlideTasks:
    """Truth, label and predictions of every region, one task a slide and factor."""
    size = _size_of(models)
    label = LabelOptions(locate_segmenter(nuclei_model.choice), segmentation, params.min_nuclei)
    return {
        name: partial(
            measure_stressed_slide,
            slide,
            size,
            models,
            stress_baselines,
            label,
            params.compute,
            params.folder,
        )
        for name, slide in stress_plan.items()
    }


def _size_of(models: Mapping[str, ModelRef]) -> RegionSize:
    sizes = {
        name: RegionSize(int(model.card["patch_px"]), float(model.card["mpp"]))
        for name, model in models.items()
    }
    if len(set(sizes.values())) != 1:
        listing = ", ".join(f"{name} {s.size_px} px at {s.mpp:g}" for name, s in sizes.items())
        raise ConfigurationError(
            f"the models were trained on regions of different sizes ({listing})",
            "train them on the same patches: kedro run --pipelines=regression",
        )
    return next(iter(sizes.values()))


def score_stress(
    stress_slides: Parts, params: StressParams, **models: ModelRef
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Errors and their changes; the approaches' order in every condition; figures for MLflow."""
    regions = pd.concat([part.load() for part in stress_slides.values()], ignore_index=True)
    refused = regions[regions["reason"] != ""]
    for (approach, stress, slide_id), part in refused.groupby(["approach", "stress", "slide_id"]):
        logger.warning(
            "slide %s under %s has no ratio by %s: %s",
            slide_id, stress, approach, part["reason"].iloc[0],
        )  # fmt: skip
    scores = stress_scores(regions, strength=params.strength, confidence=params.confidence)
    rankings = stress_rankings(scores, base_family=params.phantoms.family)
    for row in scores[scores["change"].notna()].itertuples():
        logger.info(
            "%s, %s: MAE %.3f instead of %.3f (%+.3f, %.3f to %.3f)",
            row.stress, row.approach, row.mae, row.mae_without, row.change, row.change_lower,
            row.change_upper,
        )  # fmt: skip
    metrics = stress_metrics(scores, rankings, base_family=params.phantoms.family)
    for table in (scores, rankings):
        table.attrs["stamp"] = _stamps(models)
    return scores, rankings, metrics


def draw_stress(stress_scores: pd.DataFrame, **models: ModelRef) -> Figure:
    """Change of the error by factor, for the label and each approach."""
    return draw_stress_changes(stress_scores, stamps=_stamps(models))


def _stamps(models: Mapping[str, ModelRef]) -> list[str]:
    """What goes with these numbers: they are of phantoms, by models of whatever origin."""
    kinds: set[TrainingData] = {model.card["training_data"] for model in models.values()}
    sentences = [line for kind in sorted(kinds) for line in stamps_for(kind)]
    circular = [CIRCULAR] if "phantom" in kinds else []
    return list(dict.fromkeys([*sentences, NUCLEI_BY_NETWORK, *circular]))
