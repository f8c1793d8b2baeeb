"""Parameters of label_validation."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tumor_ratio.params import Params
from tumor_ratio.phantom.params import PhantomParams


class LabelValidationParams(Params):
    """What labels are held against, and where the pictures are kept."""

    tiles: str = ""
    """CSV of annotated Ki-67 tiles, relative to the project; empty: phantoms only."""
    phantoms: PhantomParams = PhantomParams(
        family="final", n_slides=4, width_um=640, height_um=640, seed=7
    )
    """Synthetic slides, whose nuclei are known."""
    region_um: float = Field(default=320.0, ge=50, le=4000)
    """Side of a phantom's regions."""
    folder: str = "data/02_intermediate/label_validation"
    shown: int = Field(default=6, ge=0, le=40)
    """Tiles in the picture of outlined nuclei, annotated ones first."""

    @model_validator(mode="after")
    def _region_in_phantom(self) -> Self:
        side_um = min(self.phantoms.width_um, self.phantoms.height_um)
        if self.region_um > side_um:
            raise ValueError(
                f"region_um {self.region_um:g} exceeds the phantoms' side of {side_um:g} um"
            )
        return self
