"""Several trainings of one regressor that differ in their seeds, and answer together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tumor_ratio.models.normalisation import AnyNormalisation
from tumor_ratio.models.patch_source import LabelledPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
    NormalisationName,
)
from tumor_ratio.models.training import OnEpoch, Trained
from tumor_ratio.models.training_options import TrainingOptions


def fit_ensemble(
    size: int,
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
    initial: Path | None = None,
) -> tuple[Predictor, tuple[Trained, ...]]:
    """Train the members one after another, continuing from the checkpoints in `folder`.

    Parameters
    ----------
    size : members, at least 1; their seeds are `options.seed` and those that follow. A single one
        is just what `fit_regressor` trains, checkpoints in `folder` itself.
    architecture, backbone, head, loss, options, training, validation : see `fit_regressor`.
    folder : each member has a folder of its own in it, and is not trained again once finished.
    title, normalisation, initial : see `fit_regressor`.
    on_epoch : told of all members' epochs, numbered on from member to member; `member` counts them.

    Returns
    -------
    Predictor, tuple of Trained
        Which answers the mean of its members' answers; and the members' histories.

    Raises
    ------
    ValueError
        If there is no member; and see `fit_regressor` for this and further errors.
    """
    if size < 1:
        raise ValueError(f"an ensemble has at least one member, not {size}")
    predictors: list[Predictor] = []
    trained: list[Trained] = []
    for number in range(size):
        done = sum(len(member.history) for member in trained)
        predictor, member = fit_regressor(
            architecture,
            backbone,
            head,
            loss,
            dataclasses.replace(options, seed=options.seed + number),
            training,
            validation,
            folder if size == 1 else folder / f"member_{number + 1:02d}",
            title=title if size == 1 else f"{title} {number + 1}/{size}",
            normalisation=normalisation,
            on_epoch=on_epoch if size == 1 else _numbered_on(on_epoch, number + 1, done),
            features_folder=folder,
            initial=initial,
        )
        predictors.append(predictor)
        trained.append(member)
    return together(predictors), tuple(trained)


def together(members: list[Predictor]) -> Predictor:
    """One predictor that answers the mean of the members' answers.

    Raises
    ------
    ValueError
        If there is no member, or they see colours differently.
    """
    colours: set[AnyNormalisation] = {member.normalisation for member in members}
    if len(colours) != 1:
        raise ValueError("members of an ensemble see colours alike")
    first, *others = members
    return dataclasses.replace(first, others=tuple(member.network for member in others))


def _numbered_on(on_epoch: OnEpoch | None, member: int, done: int) -> OnEpoch | None:
    if on_epoch is None:
        return None
    told = on_epoch

    def tell(metrics: dict[str, float], epoch: int) -> None:
        told({**metrics, "member": float(member)}, done + epoch)

    return tell
