"""From labelled patches to a trained regressor."""

from __future__ import annotations

from pathlib import Path

from tumor_ratio.models.devices import Compute, resolve_compute
from tumor_ratio.models.frozen_training import FrozenTraining, features_of
from tumor_ratio.models.normalisation import (
    AnyNormalisation,
    PatchNormalisation,
    measure_normalisation,
)
from tumor_ratio.models.patch_source import LabelledPatches, PatchSource
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
    NormalisationName,
)
from tumor_ratio.models.regressor_training import RegressorTraining
from tumor_ratio.models.starting_weights import Start, go_on_from, start_of
from tumor_ratio.models.trainable import Trainable
from tumor_ratio.models.training import OnEpoch, Trained, train
from tumor_ratio.models.training_options import TrainingOptions


def fit_regressor(
    architecture: Architecture,
    backbone: BackboneOptions,
    head: HeadOptions,
    loss: LossOptions,
    options: TrainingOptions,
    training: LabelledPatches,
    validation: LabelledPatches,
    folder: Path,
    *,
    title: str,
    normalisation: NormalisationName = "cohort",
    on_epoch: OnEpoch | None = None,
    features_folder: Path | None = None,
    initial: Path | None = None,
) -> tuple[Predictor, Trained]:
    """Train a regressor, continuing from the checkpoints in `folder`.

    Parameters
    ----------
    architecture, backbone, head, loss, options : see there; `architecture` was made from the
        backbone's and the head's options.
    training, validation : patches of disjoint slides. The best epoch is the one with the least
        `val_mae`.
    folder : for checkpoints.
    title : names the training in messages.
    normalisation : of colours, see `regressor_options.NormalisationName`.
    on_epoch : see `training.OnEpoch`.
    features_folder : where features of a frozen backbone are kept; `folder` if None.
    initial : folder of the earlier model that `backbone.initial` names.

    Returns
    -------
    Predictor, Trained
        With the best epoch's weights; and the history.

    Raises
    ------
    ValueError
        If a slide is in both parts, or there are fewer than two training patches.
    ConfigurationError, ModelUnavailableError, TumorRatioError
        See `build_regressor` and `training.train`.
    """
    shared = set(training.slides.tolist()) & set(validation.slides.tolist())
    if shared:
        raise ValueError(f"slides {sorted(shared)} are in training and in validation")
    if len(training) < 2:
        raise ValueError("a regressor needs at least two training patches")
    compute: Compute = resolve_compute(options.compute)
    network = build_regressor(architecture, backbone, seed=options.seed)
    start = start_of(architecture, backbone, network.backbone.pretrained_cfg or {}, initial)
    if initial is not None:
        go_on_from(network, initial)
    elif head.start_at_mean:
        network.start_at(float(training.ratios.mean()))
    if architecture.bins:
        network.learn_bin_ratios(training.ratios)
    network.keep_stages(backbone.frozen_stages, compute)
    colours = _normalisation(normalisation, start, training.source)
    predictor = Predictor(compute.place(network), colours, compute)
    trainable: Trainable
    if backbone.frozen:
        features = features_of(
            predictor,
            training,
            validation,
            features_folder or folder,
            copies=backbone.copies,
            augmentation=options.augmentation,
            seed=options.seed,
        )
        trainable = FrozenTraining(network, training, validation, features, loss, options, compute)
    else:
        trainable = RegressorTraining(
            network, training, validation, colours, loss, options, compute
        )
    training_compute = compute.for_training(trainable.module)
    trained = train(trainable, options, training_compute, folder, title=title, on_epoch=on_epoch)
    return predictor, trained


def _normalisation(
    name: NormalisationName, start: Start, training: PatchSource
) -> AnyNormalisation:
    if name == "patch":
        return PatchNormalisation()
    return start.normalisation or measure_normalisation(training)
