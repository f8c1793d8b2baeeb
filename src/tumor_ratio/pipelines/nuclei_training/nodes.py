"""Nodes of nuclei_training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from tumor_ratio.models.stardist_training import train_segmenter
from tumor_ratio.pipelines.nuclei_training.params import NucleiTrainingParams
from tumor_ratio.pipelines.nuclei_training.tiles import TrainingTiles, render_parts

CARD = {
    "data": "Synthetic: labelled tiles of development phantoms (tumor_ratio.phantom), both stains. "
    "No real image was used.",
    "training_data": "phantom",
    "licence": "BSD-3-Clause",
    "command": "kedro run --pipelines=nuclei_training",
    "limits": [
        "TRAINED ON SYNTHETIC IMAGES - NUMBERS HAVE NO BIOLOGICAL MEANING",
        "The scores are of phantom tiles as well: training and test share the phantom's idea of a "
        "nucleus, so they say nothing about real slides.",
        "For research use only. Not for diagnosis, prognosis or treatment decisions. Not a medical "
        "device; not clinically validated.",
    ],
}


def render_tiles(params: NucleiTrainingParams) -> TrainingTiles:
    """Labelled tiles for training, validation and test."""
    return render_parts(
        params.n_train,
        params.n_validation,
        params.n_test,
        tile_px=params.tile_px,
        mpp=params.network.mpp,
        seed=params.seed,
    )


def train_nuclei_model(tiles: TrainingTiles, params: NucleiTrainingParams) -> dict[str, Any]:
    """Train, score and write the model folder; the card is returned."""
    here = Path.cwd()
    folder = Path(find_kedro_project(here) or here) / params.output
    description = {**CARD, "tiles": params.model_dump(exclude={"output", "network"})}
    return train_segmenter(
        tiles.train, tiles.validation, tiles.test, params.network, folder, description
    )
