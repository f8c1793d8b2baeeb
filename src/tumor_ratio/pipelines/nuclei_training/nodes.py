"""Nodes of nuclei_training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.segmentation import CARD_FILE
from tumor_ratio.models.stardist_training import train_segmenter
from tumor_ratio.pipelines.nuclei_training.labelled_folder import read_labelled_folder
from tumor_ratio.pipelines.nuclei_training.params import NucleiTrainingParams
from tumor_ratio.pipelines.nuclei_training.tiles import TrainingTiles, render_parts, with_images
from tumor_ratio.reporting.stamps import RESEARCH_USE, SYNTHETIC_TRAINING

PHANTOM_DATA = (
    "Synthetic: labelled tiles of development phantoms (tumor_ratio.phantom), both stains."
)
CIRCULAR = (
    "The phantom score is circular: training and test share the phantom's idea of a nucleus, so it "
    "says nothing about real slides."
)


def make_tiles(params: NucleiTrainingParams) -> TrainingTiles:
    """Labelled tiles for training, validation and test."""
    options = {"tile_px": params.tile_px, "seed": params.seed}
    tiles = render_parts(
        params.n_train, params.n_validation, params.n_test, mpp=params.network.mpp, **options
    )
    if params.images:
        images = read_labelled_folder(_project() / params.images)
        tiles = with_images(tiles, images, params.n_image_tiles, **options)
    return tiles


def train_nuclei_model(tiles: TrainingTiles, params: NucleiTrainingParams) -> dict[str, Any]:
    """Train, score and write the model folder; the card is returned.

    Raises
    ------
    ConfigurationError
        If images that only scored the initial model would train this one.
    """
    if params.initial:
        _refuse_leak(_project() / params.initial, tiles)
    description = {
        **_card(params),
        "tiles": params.model_dump(exclude={"output", "network", "images", "initial"}),
        "held_out_images": list(tiles.held_out),
    }
    return train_segmenter(
        tiles.train,
        tiles.validation,
        tiles.tests,
        params.network,
        _project() / params.output,
        description,
        _project() / params.initial if params.initial else None,
    )


def _refuse_leak(initial: Path, tiles: TrainingTiles) -> None:
    """Refuse an initial model whose held-out images are others than these tiles'."""
    try:
        held_out = json.loads((initial / CARD_FILE).read_text()).get("held_out_images", [])
    except (OSError, ValueError):
        return  # training says what is wrong with the folder
    if held_out and tiles.held_out and set(held_out) != set(tiles.held_out):
        raise ConfigurationError(
            f"the images that only scored {initial.name} would train now",
            "use its seed and the same images as nuclei_training.seed and nuclei_training.images",
        )


def _card(params: NucleiTrainingParams) -> dict[str, Any]:
    """What the card says of data, licence and limits."""
    command = _command(params)
    if not params.images:
        earlier = " The initial model's data count as well." if params.initial else ""
        return {
            "data": f"{PHANTOM_DATA}{earlier or ' No real image was used.'}",
            "training_data": "see the initial model" if params.initial else "phantom",
            "licence": "BSD-3-Clause" + (" and the initial model's" if params.initial else ""),
            "command": command,
            "limits": [SYNTHETIC_TRAINING, CIRCULAR, RESEARCH_USE],
        }
    return {
        "data": f"Real labelled images (source: {params.images_source}), most of them recoloured "
        f"as hematoxylin and DAB of drawn strengths. {PHANTOM_DATA}",
        "training_data": "images and phantom",
        "licence": f"BSD-3-Clause; images: {params.images_licence}",
        "command": command,
        "limits": [
            SYNTHETIC_TRAINING,
            "No Ki-67 image was used for training: DAB on real nuclei is a recolouring.",
            "The real score is of held-out images of the same collection, at their own scale.",
            CIRCULAR,
            RESEARCH_USE,
        ],
    }


def _command(params: NucleiTrainingParams) -> str:
    """What trains the like: every parameter that is not the default, folders by their role."""
    roles = {"images": "<folder of the images>", "initial": "<the initial model>"}
    changed = flat_changes(params.model_dump(), NucleiTrainingParams().model_dump())
    said = {
        name: roles.get(name, value)
        for name, value in changed.items()
        if name not in ("output", "images_source", "images_licence")
    }
    options = ",".join(f"nuclei_training.{name}={value}" for name, value in said.items())
    return "kedro run --pipelines=nuclei_training" + (f" --params={options}" if options else "")


def flat_changes(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What differs from the defaults, by dotted name."""
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            inner = flat_changes(value, defaults[name])
            changes |= {f"{name}.{key}": entry for key, entry in inner.items()}
        elif value != defaults[name]:
            changes[name] = value
    return changes


def _project() -> Path:
    here = Path.cwd()
    return Path(find_kedro_project(here) or here)
