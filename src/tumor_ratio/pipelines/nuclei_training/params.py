"""Parameters of nuclei_training."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.models.stardist_options import StarDistOptions
from tumor_ratio.params import Params


class NucleiTrainingParams(Params):
    """Tiles, network and place of the result."""

    output: str = "data/06_models/nuclei"
    """Folder of the trained model, relative to the project; give it as nuclei_model.choice."""
    n_train: int = Field(default=240, ge=2)
    """Tiles of all kinds together: two H&E, two IHC, one single-stain in turn; so the next two."""
    n_validation: int = Field(default=25, ge=2)
    n_test: int = Field(default=40, ge=2)
    tile_px: int = Field(default=256, ge=64, le=1024, multiple_of=64)
    seed: int = Field(default=0, ge=0, le=1000)
    """Chooses the tiles; another seed shares none with this one."""
    network: StarDistOptions = StarDistOptions()
