"""What the user chooses of a phantom cohort."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tumor_ratio.params import Params
from tumor_ratio.phantom.stress import StressName

Family = Literal["development", "final", "shifted"]
"""`development` to build with, `final` to score once, `shifted` beyond the training ranges."""


class PhantomParams(Params):
    """A cohort of synthetic slide pairs.

    The families draw from disjoint random streams; `shifted` also draws its nuisance factors
    (section thickness, stain strength, blur, ...) from outside the ranges of the other two.
    """

    family: Family = "development"
    n_slides: int = Field(12, ge=1, le=999)
    """Slide pairs; each is a case of its own."""
    width_um: float = Field(1400.0, ge=100.0, le=20000.0)
    height_um: float = Field(1400.0, ge=100.0, le=20000.0)
    mpp: float = Field(0.5, ge=0.1, le=2.0)
    """Micrometres per pixel of level 0, of both sections."""
    seed: int = Field(0, ge=0)
    tile_px: int = Field(256, ge=64, le=1024, multiple_of=16)
    """Side of the TIFF's tiles (a multiple of 16, as JPEG in TIFF demands)."""
    jpeg_quality: tuple[int, int] = (80, 92)
    """Lowest and highest JPEG quality; each section of the cohort has its own."""
    stress: StressName | Literal["none"] = "none"
    """One factor moved out of the training ranges, on every slide (`phantom.stress`)."""
    stress_strength: float = Field(1.0, gt=0.0, le=2.0)
    """How far it is moved; at 1 by what `phantom.stress` states."""

    @model_validator(mode="after")
    def _quality_in_order(self) -> PhantomParams:
        low, high = self.jpeg_quality
        if not 30 <= low <= high <= 100:
            raise ValueError("jpeg_quality must be two numbers in order between 30 and 100")
        return self
