"""Parameters of how nuclei and ratios are measured on a slide."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tumor_ratio.metrics.ratios import DEFAULT_SPATIAL_CORRELATION
from tumor_ratio.params import Params


class NucleiModelParams(Params):
    """Which network finds the nuclei."""

    choice: str = "shipped"
    """`shipped`, `2D_versatile_fluo` (a download), or the path of a StarDist model folder."""


class SegmentationParams(Params):
    """How nuclei are found and called positive."""

    positive_dab_od: float = Field(default=0.2, gt=0, le=2.4)
    """A nucleus is positive over this DAB density (decadic) in its core; 0.2 as in QuPath."""
    stronger_dab_od: tuple[float, float] = (0.4, 0.6)
    """DAB densities from which on a positive nucleus is graded 2+ and 3+."""
    check_slide: bool = True
    """Refuse slides that contradict what is declared: a Ki-67 slide that looks like H&E, no
    brightfield image, nuclei of a size that no nucleus has."""
    trusted_slides: tuple[str, ...] = ()
    """Slide ids that are not checked so: what contradicts their declaration is right."""
    own_hematoxylin: bool = True
    """Take hematoxylin's colour from the slide's own nuclei without DAB; else a fixed vector's."""
    block_px: int = Field(default=1024, ge=384, le=1024)
    """Side of a block at the network's resolution; memory grows with its square."""
    margin_um: float = Field(default=16.0, ge=0, le=200)
    """Nuclei are kept this far beyond the tiles, so that a corrected transform finds them there."""

    def for_slide(self, slide_id: str) -> SegmentationParams:
        """What holds for one slide: another slide's trust changes nothing for it."""
        checked = self.check_slide and slide_id not in self.trusted_slides
        return self.model_copy(update={"check_slide": checked, "trusted_slides": ()})

    @model_validator(mode="after")
    def _grades_ascend(self) -> Self:
        weak, (moderate, strong) = self.positive_dab_od, self.stronger_dab_od
        if not weak < moderate < strong:
            raise ValueError(
                f"stronger_dab_od must ascend from positive_dab_od ({weak:g}), not "
                f"{moderate:g}, {strong:g}"
            )
        return self


class RatioLabelParams(Params):
    """How a region's ratio is made of its nuclei."""

    min_nuclei: int = Field(default=20, ge=1)
    """With fewer the ratio is undefined (NaN)."""
    interval_level: float = Field(default=0.9, gt=0, lt=1)
    spatial_correlation: float = Field(default=DEFAULT_SPATIAL_CORRELATION, ge=0, lt=1)
    """Of the Ki-67 states of a region's nuclei; widens the interval."""


class ComparedLabelParams(Params):
    """The study's two-channel method and two that count pixels, for comparison."""

    tiles_per_slide: int = Field(default=2, ge=0)
    """How many kept tiles a slide are measured; it takes two more passes of the network."""
    slides: int | None = Field(default=None, ge=0)
    """How many of the slides with kept tiles are measured, spread over the cohort; None: all."""
    ratio: RatioLabelParams = RatioLabelParams()
