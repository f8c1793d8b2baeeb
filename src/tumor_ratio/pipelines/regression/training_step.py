"""Training an approach's network on slides, as one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.cohort.origin import training_origin
from tumor_ratio.cohort.pair import SlidePair
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.imaging.context import with_context
from tumor_ratio.imaging.patches import PatchReader
from tumor_ratio.imaging.regions import iter_regions
from tumor_ratio.imaging.slide import Slide
from tumor_ratio.metrics.aggregation import slide_weights
from tumor_ratio.metrics.calibration import fit_monotone
from tumor_ratio.pipelines.regression.fold_names import OfFolds
from tumor_ratio.pipelines.regression.params import LearningParams
from tumor_ratio.steps import step

if TYPE_CHECKING:
    from tumor_ratio.datasets.trainings import ModelRef
    from tumor_ratio.models.patch_source import LabelIntervals, LabelledPatches, PatchParts
    from tumor_ratio.models.predictor import Predictor
    from tumor_ratio.models.training import OnEpoch, Trained

CHECKPOINTS = "checkpoints"


@step(name="train_regressor", version=6)
def train_approach(
    approach: str,
    pairs: tuple[SlidePair, ...],
    table: pd.DataFrame,
    parts: pd.DataFrame,
    params: LearningParams,
    weights: Path | None,
    initial: ModelRef | None = None,
    *,
    fold: OfFolds | None = None,
    folder: Path,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train a network, or go on with a training that was killed, and write its model folder.

    Parameters
    ----------
    approach : the approach's name.
    pairs : the slides of the patches.
    table : `schemas.TrainingPatches`.
    parts : `schemas.TrainingParts` of the training patches; no rows where parts are not taught.
    params : what to train, and how.
    weights : the file of `params.backbone.weights_path`, so that other content trains anew.
    initial : the model that `params.backbone.initial` names.
    fold : which fold of a cross-validation it is; None for a single split.
    folder : of this very training.
    on_epoch : told of every epoch.

    Returns
    -------
    dict
        The model card.

    Raises
    ------
    ConfigurationError, ModelUnavailableError
        If the network cannot be built; before anything is trained.
    SlideError
        If a slide cannot be read.
    TumorRatioError
        If the training diverges.
    """
    # torch and timm take seconds to import and are of no use to the other steps of this package.
    from tumor_ratio.models.checkpoints import CheckpointFolder
    from tumor_ratio.models.ensemble_fit import fit_ensemble
    from tumor_ratio.models.model_folder import has_model, read_card, write_model

    if has_model(folder):
        return read_card(folder)
    slides = {pair.slide_id: _he_slide(pair) for pair in pairs}
    training, validation = (
        _patches(table[table["split"] == split], parts, slides, params, cache_share)
        for split, cache_share in (("train", 0.75), ("validation", 0.25))
    )
    predictor, trained = fit_ensemble(
        params.ensemble,
        architecture_of(approach, params.backbone, params.head, _one(table, "size_px")),
        params.backbone,
        params.head,
        params.loss,
        params.training,
        training,
        validation,
        folder / CHECKPOINTS,
        title=fold.title(approach) if fold else approach,
        normalisation=params.normalisation,
        on_epoch=on_epoch,
        initial=initial.folder if initial else None,
    )
    card = write_model(
        folder,
        predictor.network,
        predictor.normalisation,
        {
            **_origin(approach, pairs, table, params, initial),
            **_start(predictor, params, initial),
            **(fold.record() if fold else {}),
            **_outcome(params, predictor, trained, training, validation),
        },
        predictor.others,
    )
    CheckpointFolder(folder / CHECKPOINTS).remove()
    return card


def _patches(
    rows: pd.DataFrame,
    parts: pd.DataFrame,
    slides: Mapping[str, Slide],
    params: LearningParams,
    cache_share: float,
) -> LabelledPatches:
    from tumor_ratio.models.patch_source import LabelledPatches

    views = {slide_id: with_context(slide, params.context) for slide_id, slide in slides.items()}
    weights = rows["weight"].to_numpy(dtype=np.float32)
    if not weights.any() and (params.loss.weighted or params.loss.name == "beta_binomial"):
        raise ConfigurationError(
            f"labels by the method '{params.label_method}' have no number of nuclei behind them",
            "set `label_method: nucleus`, or leave out `loss.weighted` and beta_binomial",
        )
    return LabelledPatches(
        PatchReader(views, list(iter_regions(rows)), params.cache_mb * cache_share),
        rows["tumor_ratio"].to_numpy(dtype=np.float32),
        weights,
        rows["slide_id"].to_numpy(dtype=np.str_),
        patch_parts(rows, parts),
        label_intervals(rows, params.label_method) if params.loss.name == "interval" else None,
    )


def label_intervals(rows: pd.DataFrame, label_method: str) -> LabelIntervals:
    """What the ratios of some patches are known to.

    Raises
    ------
    ConfigurationError
        If labels have no interval.
    """
    from tumor_ratio.models.patch_source import LabelIntervals

    if (missing := int(rows[["lower", "upper"]].isna().any(axis=1).sum())) > 0:
        raise ConfigurationError(
            f"{missing} of {len(rows)} labels by the method '{label_method}' have no interval",
            "set `label_method: nucleus`, or another `loss.name` than interval",
        )
    lower, upper = (rows[name].to_numpy(dtype=np.float32) for name in ("lower", "upper"))
    return LabelIntervals(lower, upper)


def patch_parts(rows: pd.DataFrame, parts: pd.DataFrame) -> PatchParts | None:
    """The parts of some patches, in their order; None where they have none."""
    from tumor_ratio.models.patch_source import PatchParts

    own = parts[parts["region_id"].isin(rows["region_id"])]
    if own.empty:
        return None
    n = int(own["row"].max()) + 1
    place = {region: index for index, region in enumerate(rows["region_id"])}
    where = (own["region_id"].map(place).to_numpy(), own["row"], own["column"])
    ratios, weights = (np.zeros((len(rows), n, n), dtype=np.float32) for _ in range(2))
    ratios[where], weights[where] = own["tumor_ratio"], own["weight"]
    return PatchParts(ratios, weights)


def _origin(
    approach: str,
    pairs: tuple[SlidePair, ...],
    table: pd.DataFrame,
    params: LearningParams,
    initial: ModelRef | None,
) -> dict[str, Any]:
    """What the model is and what it learned from."""
    parts = dict(iter(table.groupby("split")))
    return {
        "approach": approach,
        "mpp": float(_one(table, "mpp")),
        "context": params.context,
        "label_method": params.label_method,
        "reference": "ihc_measured",
        "protocol": params.protocol,
        **training_origin(pairs, *([initial.card["training_data"]] if initial else [])),
        "slides": {split: sorted(rows["slide_id"].unique()) for split, rows in parts.items()},
        "n_patches": {split: len(rows) for split, rows in parts.items()},
    }


def _start(
    predictor: Predictor, params: LearningParams, initial: ModelRef | None
) -> dict[str, Any]:
    """What the weights were before, and with that what the approach learned from."""
    from tumor_ratio.models.starting_weights import start_of

    network = predictor.network
    start = start_of(
        network.architecture,
        params.backbone,
        network.backbone.pretrained_cfg or {},
        initial.folder if initial else None,
    )
    taught = "region ratios of the neighbouring Ki-67 section"
    details = ["and the ratios of the regions' parts"] if params.loss.parts else []
    if params.backbone.frozen:
        details.append("the backbone stays as it was")
    learned = f"{start.words}, then {taught}" if start.words else taught
    return {
        "starting_weights": dict(start.record),
        "slides_before": _slides_before(initial.card) if initial else [],
        "supervision": "; ".join([learned, *details]),
    }


def _slides_before(card: Mapping[str, Any]) -> list[str]:
    """Slides that a model learned from or was chosen on, or those that it started from."""
    parts = [names for names in card.get("slides", {}).values() if isinstance(names, list)]
    return sorted({*card.get("slides_before", ()), *(name for part in parts for name in part)})


def _outcome(
    params: LearningParams,
    predictor: Predictor,
    trained: tuple[Trained, ...],
    training: LabelledPatches,
    validation: LabelledPatches,
) -> dict[str, Any]:
    """How the training went, and the monotone map fitted on its validation slides."""
    predicted = predictor.predict_source(validation.source)
    epochs = [member.best_epoch for member in trained]
    return {
        "best_epoch": epochs[0] if len(epochs) == 1 else epochs,
        "epochs": sum(len(member.history) for member in trained),
        "seconds": round(sum(r["seconds"] for member in trained for r in member.history), 1),
        "metrics": _metrics(predictor, trained, training, validation),
        "calibration": fit_monotone(
            predicted, validation.ratios, slide_weights(validation.slides)
        ).to_record(),
        "device": predictor.compute.device,
        "precision": predictor.compute.precision,
        "threads": predictor.compute.threads,
    }


def _metrics(
    predictor: Predictor,
    trained: tuple[Trained, ...],
    training: LabelledPatches,
    validation: LabelledPatches,
) -> dict[str, float]:
    """Errors on the validation slides, beside those of the training median and majority."""
    from tumor_ratio.models.bins import bin_numbers
    from tumor_ratio.models.validation import bin_accuracy, validated, validation_metrics

    if len(trained) == 1:
        best = trained[0].history[trained[0].best_epoch - 1]
        found = {name: value for name, value in best.items() if name.startswith("val_")}
    else:
        found = validated(predictor, validation)
    n = len(validation)
    median = np.full(n, np.median(training.ratios), dtype=np.float32)
    found["val_mae_of_training_median"] = validation_metrics(median, validation)["val_mae"]
    if bins := predictor.network.architecture.bins:
        majority = np.full(n, np.bincount(bin_numbers(training.ratios, bins)).argmax())
        found["val_bin_accuracy_of_training_majority"] = bin_accuracy(majority, validation, bins)
    return found


def _one(table: pd.DataFrame, column: str) -> Any:
    values = table[column].unique().tolist()
    if len(values) != 1:
        raise ConfigurationError(
            f"training patches differ in {column}: {values}", "cut all patches alike"
        )
    return values[0]


def _he_slide(pair: SlidePair) -> Slide:
    if pair.he is None:
        raise ConfigurationError(
            f"slide {pair.slide_id} has no H&E section to learn from",
            "give he_path in the manifest, or leave the slide out",
        )
    return pair.he
