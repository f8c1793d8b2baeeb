"""Parameters of ground_truth."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.metrics.ratios import DEFAULT_SPATIAL_CORRELATION
from tumor_ratio.params import Params


class NucleiModelParams(Params):
    """Which network finds the nuclei."""

    choice: str = "shipped"
    """`shipped`, `2D_versatile_fluo` (a download), or the path of a StarDist model folder."""


class SegmentationParams(Params):
    """How nuclei are found and called positive."""

    positive_dab_od: float = Field(default=0.2, gt=0, le=2.4)
    """A nucleus is positive when its mean DAB density (decadic) exceeds this; 0.2 as in QuPath."""
    own_hematoxylin: bool = True
    """Take hematoxylin's colour from the slide's own nuclei without DAB; else a fixed vector's."""
    block_px: int = Field(default=1024, ge=256, le=1024)
    """Side of a block at the network's resolution; memory grows with its square."""
    margin_um: float = Field(default=16.0, ge=0, le=200)
    """Nuclei are kept this far beyond the tiles, so that a corrected transform finds them there."""


class PairQualityParams(Params):
    """Which tile pairs train, once the nuclei of both sections are known."""

    min_density_agreement: float = Field(default=0.5, ge=0, le=1)
    """Smaller over larger nuclei count of the two sections; a pair below this is not kept."""


class RatioLabelParams(Params):
    """How a region's ratio is made of its nuclei."""

    min_nuclei: int = Field(default=20, ge=1)
    """With fewer the ratio is undefined (NaN)."""
    interval_level: float = Field(default=0.9, gt=0, lt=1)
    spatial_correlation: float = Field(default=DEFAULT_SPATIAL_CORRELATION, ge=0, lt=1)
    """Of the Ki-67 states of a region's nuclei; widens the interval."""


class StudyLabelParams(Params):
    """The study's two-channel method, for comparison."""

    tiles_per_slide: int = Field(default=2, ge=0)
    """How many kept tiles a slide are measured; it takes two more passes of the network."""
    slides: int | None = Field(default=None, ge=0)
    """How many of the slides with kept tiles are measured, spread over the cohort; None: all."""
    ratio: RatioLabelParams = RatioLabelParams()


class SplitParams(Params):
    """How slides are dealt into training, validation and test parts."""

    protocol: str = "holdout"
    validation_share: float = Field(default=0.25, gt=0, lt=1)
    test_share: float = Field(default=0.25, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
