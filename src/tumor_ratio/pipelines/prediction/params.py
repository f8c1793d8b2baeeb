"""Parameters of prediction; size, resolution and colours come from the model's card instead."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.imaging.slide_checks import MAX_MPP, MIN_MPP
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips
from tumor_ratio.params import Params


class PredictionParams(Params):
    """Which slides, and what is known of them."""

    manifest: str = ""
    """A CSV of slides, as for the cohort; only their H&E is read. This, or `slide`."""
    slide: str = ""
    """One slide's file."""
    allowed_root: str = ""
    """Folder that the slides must lie in, links followed; empty allows any place."""
    pyramids: str = "data/01_raw/pyramids"
    """Where tiled copies of large TIFFs in strips are kept; empty reads such files as they are."""
    mpp: float | None = Field(default=None, ge=MIN_MPP, le=MAX_MPP)
    """Micrometres per pixel of `slide`, where its file does not say."""
    species: str = ""
    """Of all slides whose row in the manifest does not say; empty where unknown. So for the next
    two."""
    organ: str = ""
    stain: str = ""
    """The H&E staining protocol."""
    min_tissue: float = Field(default=0.25, gt=0, le=1)
    """Share of a region that must be tissue; regions with less are listed without a ratio."""
    compute: ComputeOptions = ComputeOptions()
    flips: Flips = "none"
    """`dihedral` answers the mean over the eight flips and quarter turns of each region."""
