"""A finished regressor on disk: `model.safetensors` and the card that says what it is.

Further members of an ensemble are `model_02.safetensors` and so on; the card gives their number.

Prediction needs nothing else: size, resolution, colours and origin of the model are read from its
card, not from parameters. The card is written last, so that a folder with a card is whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tumor_ratio.atomic import full_disk_explained, remove_unfinished, write_text
from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.devices import ComputeOptions, resolve_compute
from tumor_ratio.models.normalisation import (
    AnyNormalisation,
    normalisation_from_record,
    normalisation_to_record,
)
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import Architecture
from tumor_ratio.models.weights_files import read_weights, write_weights

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"
RETRAIN = "train it again with `kedro run --pipelines=regression`"


def write_model(
    folder: Path,
    network: RatioRegressor,
    normalisation: AnyNormalisation,
    description: Mapping[str, Any],
    others: Sequence[RatioRegressor] = (),
) -> dict[str, Any]:
    """Write a model folder.

    Parameters
    ----------
    folder : made if absent; an earlier model in it is replaced.
    network, normalisation : what answers.
    description : everything else for the card, as JSON-able values; at least `approach`, `mpp`,
        `label_method`, `training_data` (`phantom` or `real`) and `stamps`.
    others : further members of an ensemble, of the same architecture and normalisation.

    Returns
    -------
    dict
        The card: the description with `architecture`, `patch_px`, `normalisation` and `members`.

    Raises
    ------
    DiskFullError
        If there is no room; the folder then holds no finished model.
    """
    with full_disk_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    card = {
        **description,
        "patch_px": network.architecture.patch_px,
        "architecture": dataclasses.asdict(network.architecture),
        "normalisation": normalisation_to_record(normalisation),
        "members": 1 + len(others),
    }
    (folder / CARD_FILE).unlink(missing_ok=True)
    for earlier in folder.glob("model_*.safetensors"):
        earlier.unlink()
    for name, member in zip(_weights_files(card), (network, *others), strict=True):
        write_weights(member.state_dict(), folder / name)
    text = json.dumps(card, indent=2, allow_nan=False)
    write_text(folder / CARD_FILE, text + "\n")
    return dict(json.loads(text))


def has_model(folder: Path) -> bool:
    """Whether the folder holds a finished model."""
    if not (folder / CARD_FILE).is_file():
        return False
    return all((folder / name).is_file() for name in _weights_files(read_card(folder)))


def read_card(folder: Path) -> dict[str, Any]:
    """A model's card.

    Raises
    ------
    ModelUnavailableError
        If there is no readable card in the folder.
    """
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelUnavailableError(f"there is no finished model in {folder}", RETRAIN) from error
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(
            f"the model card in {folder} cannot be read: {error}", RETRAIN
        ) from error
    if not isinstance(card, dict):
        raise ModelUnavailableError(f"the model card in {folder} is no card", RETRAIN)
    return card


def load_regressor(
    folder: Path, compute: ComputeOptions | None = None, *, flips: Flips = "none"
) -> Predictor:
    """A trained regressor, ready to predict. Nothing in the folder is executed.

    Parameters
    ----------
    folder : as `write_model` left it.
    compute : device, precision and threads to predict with; `auto` by default, whatever it was
        trained with.
    flips : see `Predictor`.

    Raises
    ------
    ModelUnavailableError
        If the card or the weights are missing, damaged, or do not belong together.
    """
    card = read_card(folder)
    settled = resolve_compute(compute or ComputeOptions())
    first, *others = (
        settled.place(_load_network(folder, name, card).for_prediction())
        for name in _weights_files(card)
    )
    try:
        normalisation = normalisation_from_record(card["normalisation"])
    except (KeyError, TypeError, ValueError) as error:
        raise _misfit(folder, error) from error
    return Predictor(first, normalisation, settled, tuple(others), flips)


def _load_network(folder: Path, name: str, card: Mapping[str, Any]) -> RatioRegressor:
    weights = read_weights(folder / name, setting="the model folder")
    try:
        network = RatioRegressor(Architecture(**card["architecture"]))
        network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _misfit(folder, error) from error
    return network


def _weights_files(card: Mapping[str, Any]) -> list[str]:
    """Names of the members' files; cards of earlier versions speak of one."""
    further = range(2, int(card.get("members", 1)) + 1)
    return [WEIGHTS_FILE, *(f"model_{number:02d}.safetensors" for number in further)]


def _misfit(folder: Path, error: Exception) -> ModelUnavailableError:
    reason = str(error).splitlines()[0]
    return ModelUnavailableError(
        f"the card and the weights in {folder} do not fit: {reason}", RETRAIN
    )
