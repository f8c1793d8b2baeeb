"""Parameters of prediction; size, resolution and colours come from the model's card instead."""

from __future__ import annotations

from pydantic import Field

from tumor_ratio.imaging.slide_checks import MAX_MPP, MIN_MPP
from tumor_ratio.inference.labelling_params import LabellingParams
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.prediction_options import Flips


class PredictionParams(LabellingParams):
    """Which slides, and what is known of them; see `LabellingParams` for its own."""

    manifest: str = ""
    """A CSV of slides, as for the cohort; only their H&E is read. This, `slide` or `folder`."""
    slide: str = ""
    """One slide's file."""
    folder: str = ""
    """A folder: every file in it that can be read as a slide, without subfolders."""
    model: str = ""
    """A model's folder, or where MLflow has it (`models:/tumor-ratio@best`, `runs:/...`), in place
    of the model of `approach` trained here. On the command line, or as `prediction_model` in
    globals.yml: the catalog must know it, too."""
    allowed_root: str = ""
    """Folder that the slides must lie in, links followed; empty allows any place."""
    pyramids: str = "data/01_raw/pyramids"
    """Where tiled copies of large TIFFs in strips are kept; empty reads such files as they are."""
    mpp: float | None = Field(default=None, ge=MIN_MPP, le=MAX_MPP)
    """Micrometres per pixel of `slide`, or of all in `folder`; it wins over what files say."""
    species: str = ""
    """Of all slides whose row in the manifest does not say; empty where unknown. So for the next
    two."""
    organ: str = ""
    stain: str = ""
    """The H&E staining protocol."""
    intervals_anyway: bool = False
    """Intervals although species, organ, stain, pixel size or look of a slide are not the
    training's: your word that they do not matter."""
    step_px: int | None = Field(default=None, ge=1)
    """From one region to the next, in pixels at the model's resolution; by default a region's side.
    Smaller steps overlap: a finer picture, in (side / step)^2 times the time."""
    min_tissue: float = Field(default=0.25, gt=0, le=1)
    """Share of a region that must be tissue; regions with less are listed without a ratio."""
    tau: float | None = Field(default=None, gt=0, le=1)
    """Ratio from which on a cell is rich in Ki-67; by default the model's, chosen in training."""
    min_focus_um2: float = Field(default=0.0, ge=0)
    """Smallest focus; at least four cells in any case."""
    merge_um: float = Field(default=0.0, ge=0)
    """Gaps between rich cells up to this wide are closed."""
    overlay: bool = True
    """Write each slide's map as a pyramidal TIFF, too."""
    overlay_mpp: float = Field(default=4.0, ge=MIN_MPP, le=100)
    """Micrometres per pixel of it."""
    geojson: bool = True
    """Write regions and foci as GeoJSON for QuPath."""
    slide_files: str = "data/08_reporting/prediction/slides"
    """Where each slide gets a folder of its own for its page, maps and shapes."""
    compute: ComputeOptions = ComputeOptions()
    flips: Flips = "none"
    """`dihedral` answers the mean over the eight flips and quarter turns of each region."""
