"""Parameters of nuclei_training."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.models.stardist_options import StarDistOptions
from tumor_ratio.params import Params


class NucleiTrainingParams(Params):
    """Tiles, network and place of the result."""

    output: str = "data/06_models/nuclei"
    """Folder of the trained model, relative to the project; give it as nuclei_model.choice."""
    initial: str = ""
    """Folder of a trained model to go on from, relative to the project; empty begins anew. The same
    images and seed, or its held-out images train here."""
    images: str = ""
    """Folder of real labelled images, relative to the project: `images/<name>.png` with
    `labels/<name>.tif`; empty trains on phantoms only."""
    images_source: str = "not stated"
    images_licence: str = "not stated"
    """For the card: where the images come from, and their licence."""
    n_image_tiles: int = Field(default=480, ge=1)
    """Tiles cut from the images that train, at several scales and in several stains."""
    n_train: int = Field(default=240, ge=2)
    """Phantom tiles: two H&E, two IHC, one single-stain in turn; so the next two."""
    n_validation: int = Field(default=25, ge=2)
    n_test: int = Field(default=40, ge=2)
    tile_px: int = Field(default=256, ge=64, le=1024, multiple_of=64)
    seed: int = Field(default=0, ge=0, le=1000)
    """Chooses the tiles; another seed shares none with this one."""
    network: StarDistOptions = StarDistOptions()
