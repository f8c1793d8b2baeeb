"""Nodes of regression: sample, train, predict, calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.trained_model import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.metrics.folds import slides_of
from tumor_ratio.pipelines.regression import sampling
from tumor_ratio.pipelines.regression.params import RegressionParams
from tumor_ratio.pipelines.regression.prediction_step import predict_slide
from tumor_ratio.pipelines.regression.training_step import train_approach
from tumor_ratio.schemas import Predictions, TrainingParts
from tumor_ratio.steps import SlideTasks


def sample_patches(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    params: RegressionParams,
) -> pd.DataFrame:
    """Draw the patches that train and validate, by the quotas a slide."""
    labelled = sampling.labelled_patches(
        patches,
        pair_quality,
        ratio_labels,
        folds,
        label_method=params.label_method,
        protocol=params.protocol,
    )
    return sampling.sample_patches(labelled, params.sampling)


def sample_parts(
    cohort: Cohort,
    ihc_nuclei: Mapping[str, PartitionRef],
    training_patches: pd.DataFrame,
    params: RegressionParams,
) -> pd.DataFrame:
    """Ratios of the parts of the training patches; no rows where parts are not taught."""
    n = params.loss.parts
    if not n:
        return TrainingParts.empty()
    if params.label_method != "nucleus":
        raise ConfigurationError(
            f"parts have no labels by the method '{params.label_method}'",
            "set `loss.parts: 0`, or `label_method: nucleus`",
        )
    taught = training_patches[training_patches["split"] == "train"]
    return pd.concat(
        [
            sampling.parts_of_patches(
                taught[taught["slide_id"] == pair.slide_id],
                ihc_nuclei[pair.slide_id].load(),
                pair.frame.mpp,
                n,
            )
            for pair in cohort
            if (taught["slide_id"] == pair.slide_id).any()
        ],
        ignore_index=True,
    )


def train(
    cohort: Cohort,
    training_patches: pd.DataFrame,
    training_parts: pd.DataFrame,
    params: RegressionParams,
    *,
    approach: str,
) -> partial[dict[str, Any]]:
    """Train the approach's network; the model dataset carries it out, resumes and reuses it."""
    pairs = tuple(p for p in cohort if p.slide_id in set(training_patches["slide_id"]))
    path = params.backbone.weights_path
    return partial(
        train_approach,
        approach,
        pairs,
        training_patches,
        training_parts,
        params.learning(),
        Path(path) if path else None,
    )


def predict(
    cohort: Cohort,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    model: ModelRef,
    params: RegressionParams,
) -> SlideTasks:
    """Ratios of all patches of the validation and test slides, one task a slide."""
    tasks = {}
    held_out = slides_of(folds, params.protocol, "validation", "test")
    for pair in cohort:
        own = regions_of(patches, pair.slide_id)
        if pair.slide_id in held_out and pair.he is not None and len(own):
            tasks[pair.slide_id] = partial(predict_slide, pair.he, own, model, params.prediction)
    return tasks


def calibrate(slide_predictions: Mapping[str, PartitionRef], model: ModelRef) -> pd.DataFrame:
    """Predictions of all slides, raw and by the monotone map of the model's validation slides."""
    if not slide_predictions:
        return Predictions.empty()
    table = pd.concat([part.load() for part in slide_predictions.values()], ignore_index=True)
    monotone = MonotoneMap.from_record(model.card["calibration"])
    return table.assign(
        approach=model.card["approach"],
        protocol=model.card["protocol"],
        repeat=0,
        fold=0,
        reference=model.card["reference"],
        tumor_ratio_calibrated=monotone.apply(table["tumor_ratio"].to_numpy()),
        lower=float("nan"),
        upper=float("nan"),
    )[list(Predictions.to_schema().columns)]
