"""Nodes of regression: sample, train, predict, calibrate."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tumor_ratio.approaches.network import backbone_name
from tumor_ratio.cohort.pair import Cohort
from tumor_ratio.datasets.partition_folder import PartitionRef
from tumor_ratio.datasets.prediction_model import find_model
from tumor_ratio.datasets.project_root import project_root
from tumor_ratio.datasets.trainings import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.regions import regions_of
from tumor_ratio.metrics.calibration import MonotoneMap
from tumor_ratio.metrics.folds import FIRST, FoldKey, check_folds, fold_of, keys_of, slides_of
from tumor_ratio.models.regressor_options import BackboneOptions
from tumor_ratio.models.shipped import SHIPPED, shipped_regressor
from tumor_ratio.pipelines.regression import sampling
from tumor_ratio.pipelines.regression.fold_names import name_folds
from tumor_ratio.pipelines.regression.fold_predictions import predict_in_folds
from tumor_ratio.pipelines.regression.params import RegressionParams
from tumor_ratio.pipelines.regression.training_step import train_approach
from tumor_ratio.schemas import Predictions, TrainingParts
from tumor_ratio.steps import SlideTasks

logger = logging.getLogger(__name__)

DOWNLOADS = "data/06_models/downloaded"
"""Below the project's folder: where models of MLflow are kept, by content."""
LEAST_PATCHES = 2
"""To train on: batch statistics need two."""


def sample_patches(
    patches: pd.DataFrame,
    pair_quality: pd.DataFrame,
    ratio_labels: pd.DataFrame,
    folds: pd.DataFrame,
    params: RegressionParams,
) -> pd.DataFrame:
    """Draw the patches that train and validate in each fold, by the quotas a slide."""
    check_folds(folds)
    parts = []
    for key in keys_of(folds, params.protocol) or [FIRST]:
        labelled = sampling.labelled_patches(
            patches,
            pair_quality,
            ratio_labels,
            folds,
            label_method=params.label_method,
            protocol=params.protocol,
            key=key,
        )
        drawn = sampling.sample_patches(labelled, params.sampling)
        if (drawn["split"] == "train").sum() < LEAST_PATCHES:
            raise ConfigurationError(
                f"the quotas leave fewer than {LEAST_PATCHES} training patches "
                f"of {(labelled['split'] == 'train').sum()}",
                "raise `sampling.per_bin`, or set it to null to take all",
            )
        parts.append(drawn.assign(repeat=key.repeat, fold=key.fold))
    return pd.concat(parts, ignore_index=True)


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
    taught = training_patches[training_patches["split"] == "train"].drop_duplicates("region_id")
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
) -> dict[str, partial[dict[str, Any]]]:
    """Train the approach's network in each fold; the model dataset carries it out."""
    named = name_folds(_keys_in(training_patches))
    path = params.backbone.weights_path
    initial = initial_model(approach, params.backbone)
    tasks = {}
    for name, fold in named.items():
        own = _of_fold(training_patches, FoldKey(fold.repeat, fold.fold))
        own = own.drop(columns=["repeat", "fold"]).reset_index(drop=True)
        taught = own.loc[own["split"] == "train", "region_id"]
        task = partial(
            train_approach,
            approach,
            tuple(p for p in cohort if p.slide_id in set(own["slide_id"])),
            own,
            training_parts[training_parts["region_id"].isin(taught)].reset_index(drop=True),
            params.learning(),
            Path(path) if path else None,
            initial,
        )
        # A single split is a training like any other: its model must not depend on folds.
        tasks[name] = partial(task, fold=fold) if len(named) > 1 else task
    return tasks


def initial_model(approach: str, backbone: BackboneOptions) -> ModelRef | None:
    """The earlier model that a training goes on from; None where it starts anew."""
    if not backbone.initial:
        return None
    name = backbone.initial
    if name == SHIPPED:
        name = str(shipped_regressor(backbone_name(approach, backbone)))
    return find_model(name, project_root(Path.cwd() / DOWNLOADS) / DOWNLOADS)


def predict(
    cohort: Cohort,
    patches: pd.DataFrame,
    folds: pd.DataFrame,
    models: Mapping[str, ModelRef],
    params: RegressionParams,
) -> SlideTasks:
    """Ratios of all patches of each fold's validation and test slides by that fold's model.

    One task a slide, whatever the number of folds that hold it out.

    Raises
    ------
    ConfigurationError
        If a model has learned from a slide that its fold holds out now.
    """
    for model in models.values():
        _check_split(model.card, folds, params.protocol)
    held_out = {
        name: slides_of(folds, params.protocol, "validation", "test", key=fold_of(model.card))
        for name, model in models.items()
    }
    tasks = {}
    for pair in cohort:
        own = regions_of(patches, pair.slide_id)
        chosen = [models[name] for name, slides in held_out.items() if pair.slide_id in slides]
        if chosen and pair.he is not None and len(own):
            tasks[pair.slide_id] = partial(
                predict_in_folds, pair.he, own, chosen, params.prediction
            )
    return tasks


def _check_split(card: Mapping[str, Any], folds: pd.DataFrame, protocol: str) -> None:
    """Refuse a model that learned or was chosen on slides that are held out from that now."""
    key = fold_of(card)
    seen = card.get("slides", {})
    learned, chosen = (set(seen.get(part, ())) for part in ("train", "validation"))
    tested = slides_of(folds, protocol, "test", key=key)
    validates = slides_of(folds, protocol, "validation", key=key)
    known = sorted((learned & (tested | validates)) | (chosen & tested))
    if before := sorted(tested & set(card.get("slides_before", ()))):
        logger.warning(
            "%s went on from a model that had learned from slides called %s, which test now: its "
            "scores mean nothing if they are the same",
            card["approach"],
            ", ".join(before[:5]),
        )
    if known:
        raise ConfigurationError(
            f"{card['approach']} has seen {', '.join(known[:5])}, held out by the split of now",
            "train it on this split: kedro run --pipelines=regression",
        )


def calibrate(
    slide_predictions: Mapping[str, PartitionRef], models: Mapping[str, ModelRef]
) -> pd.DataFrame:
    """Predictions of all slides, raw and by the monotone map of each fold's validation slides."""
    if not slide_predictions:
        return Predictions.empty()
    table = pd.concat([part.load() for part in slide_predictions.values()], ignore_index=True)
    parts = []
    for card in (model.card for model in models.values()):
        own = _of_fold(table, fold_of(card))
        monotone = MonotoneMap.from_record(card["calibration"])
        parts.append(
            own.assign(
                approach=card["approach"],
                protocol=card["protocol"],
                reference=card["reference"],
                tumor_ratio_calibrated=monotone.apply(own["tumor_ratio"].to_numpy()),
                lower=float("nan"),
                upper=float("nan"),
            )
        )
    return pd.concat(parts, ignore_index=True)[list(Predictions.to_schema().columns)]


def _keys_in(table: pd.DataFrame) -> list[FoldKey]:
    keys = table[["repeat", "fold"]].drop_duplicates().to_numpy()
    return sorted(FoldKey(int(repeat), int(fold)) for repeat, fold in keys)


def _of_fold(table: pd.DataFrame, key: FoldKey) -> pd.DataFrame:
    return table[(table["repeat"] == key.repeat) & (table["fold"] == key.fold)]
