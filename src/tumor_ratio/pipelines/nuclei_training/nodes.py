"""Nodes of nuclei_training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

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
    """Train, score and write the model folder; the card is returned."""
    description = {
        **_card(params),
        "tiles": params.model_dump(exclude={"output", "network", "images"}),
        "held_out_images": list(tiles.held_out),
    }
    return train_segmenter(
        tiles.train,
        tiles.validation,
        tiles.tests,
        params.network,
        _project() / params.output,
        description,
    )


def _card(params: NucleiTrainingParams) -> dict[str, Any]:
    """What the card says of data, licence and limits."""
    if not params.images:
        return {
            "data": f"{PHANTOM_DATA} No real image was used.",
            "training_data": "phantom",
            "licence": "BSD-3-Clause",
            "command": "kedro run --pipelines=nuclei_training",
            "limits": [SYNTHETIC_TRAINING, CIRCULAR, RESEARCH_USE],
        }
    return {
        "data": f"Real labelled images (source: {params.images_source}), most of them recoloured "
        f"as hematoxylin and DAB of drawn strengths. {PHANTOM_DATA}",
        "training_data": "images and phantom",
        "licence": f"BSD-3-Clause; images: {params.images_licence}",
        "command": "kedro run --pipelines=nuclei_training "
        "--params=nuclei_training.images=<folder of the images>",
        "limits": [
            SYNTHETIC_TRAINING,
            "No Ki-67 image was used for training: DAB on real nuclei is a recolouring.",
            "The real score is of held-out images of the same collection, at their own scale.",
            CIRCULAR,
            RESEARCH_USE,
        ],
    }


def _project() -> Path:
    here = Path.cwd()
    return Path(find_kedro_project(here) or here)
