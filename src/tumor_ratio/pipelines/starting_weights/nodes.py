"""Nodes of starting_weights: trained networks in half precision, with what they learned from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from tumor_ratio.approaches import cyclegan, network
from tumor_ratio.atomic import folder_written_whole, write_json
from tumor_ratio.datasets.project_root import project_root
from tumor_ratio.datasets.trainings import CARD, ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.shipped import CYCLEGAN, REGRESSORS
from tumor_ratio.params import Params

TRAINED_ON_FAMILY = "development"
COMMAND = (
    "kedro run --env=pretraining --pipelines=data_processing,ground_truth,regression,"
    "gan_translation,starting_weights "
    f'--params="approaches={cyclegan.NAME} {network.STARTING_WEIGHTS}"'
)
LICENCE = "BSD-3-Clause"
NOT_OF_A_TRAINING = ("fingerprint", "mlflow_run_id", "seconds", "device", "threads")
"""What a card says of the machine and the run."""


class StartingWeightsParams(Params):
    """Where the weights go."""

    folder: str = Field("src/tumor_ratio/models/weights", min_length=1)
    """Below the project's folder."""


def ship_regressor(
    models: Mapping[str, ModelRef], cohort_plan: Mapping[str, Any], params: StartingWeightsParams
) -> dict[str, Any]:
    """Write a regressor's folder in half precision; its card is returned.

    Raises
    ------
    ConfigurationError
        If it learned from anything but phantoms of the development family.
    """
    from tumor_ratio.models.model_folder import WEIGHTS_FILE
    from tumor_ratio.models.weights_files import read_weights, write_weights

    model = next(iter(models.values()))
    card = _card(model, cohort_plan)
    folder = _place(params) / REGRESSORS[model.card["architecture"]["backbone"]]
    with folder_written_whole(folder) as new:
        weights = read_weights(model.folder / WEIGHTS_FILE)
        write_weights(_halved(weights), new / WEIGHTS_FILE)
        write_json(new / CARD, card)
    return card


def ship_cyclegan(
    model: ModelRef, cohort_plan: Mapping[str, Any], params: StartingWeightsParams
) -> dict[str, Any]:
    """Write all four networks in half precision; the card is returned.

    Raises
    ------
    ConfigurationError
        If they learned from anything but phantoms of the development family.
    """
    import torch

    from tumor_ratio.models.cyclegan.checkpoint_files import checkpoint_path
    from tumor_ratio.models.cyclegan.networks import NETWORK_NAMES
    from tumor_ratio.models.weights_files import read_weights

    card = _card(model, cohort_plan)
    with folder_written_whole(_place(params) / CYCLEGAN) as new:
        for name in NETWORK_NAMES:
            weights = read_weights(checkpoint_path(model.folder, name))
            torch.save(_halved(weights), checkpoint_path(new, name))
        write_json(new / CARD, card)
    return card


def _card(model: ModelRef, cohort_plan: Mapping[str, Any]) -> dict[str, Any]:
    pairs = cohort_plan.get("pairs", [])
    families = {pair.get("family") for pair in pairs}
    if families != {TRAINED_ON_FAMILY}:
        raise ConfigurationError(
            f"starting weights learn from phantoms of the {TRAINED_ON_FAMILY} family alone, these "
            f"slides are of {', '.join(sorted(str(each) for each in families)) or 'none'}",
            "kedro run --env=pretraining",
        )
    kept = {name: value for name, value in model.card.items() if name not in NOT_OF_A_TRAINING}
    return {
        **kept,
        "slides": {part: len(names) for part, names in model.card["slides"].items()},
        "trained_on": f"{len(pairs)} synthetic {TRAINED_ON_FAMILY} pairs",
        "seeds": sorted({pair.get("seed") for pair in pairs}),
        "licence": LICENCE,
        "command": COMMAND,
    }


def _halved(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Convolutions and matrices in half precision; norms and biases, which are small, as they are.

    Running variances may be below what half precision tells from 0.
    """
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}


def _place(params: StartingWeightsParams) -> Path:
    return project_root(Path.cwd() / params.folder) / params.folder
