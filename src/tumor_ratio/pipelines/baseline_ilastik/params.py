"""Parameters of the pixel forests."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tumor_ratio.params import Params
from tumor_ratio.phantom.strokes import CLASSES


class StrokeParams(Params):
    """Strokes drawn from a phantom's truth, where no ilastik project brings labels."""

    tiles: int = Field(default=10, ge=1)
    """Labelled tiles of each stain, on training slides; the study's number."""
    tile_px: int = Field(default=256, ge=64, le=2048)
    per_class: int = Field(default=12, ge=1)
    """Strokes of each class on a tile."""
    error_rate: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the strokes that get a wrong class."""
    seed: int = Field(default=0, ge=0)


class SectionParams(Params):
    """Where a stain's labels come from, and what they mean."""

    project: str = ""
    """An ilastik project of this stain; empty: strokes on phantoms."""
    mpp: float | None = Field(default=None, gt=0)
    """Micrometres a pixel of the project's images; None: `ilastik.mpp`."""
    retrain: bool = False
    """Grow a forest of the project's labels, although it stores one."""
    counted: tuple[str, ...]
    """Labels whose share is the ratio: positive nuclei on IHC, tumor nuclei on H&E."""
    others: tuple[str, ...]
    """Labels of all other nuclei, at least one; what is named in neither is background."""

    @model_validator(mode="after")
    def _once(self) -> Self:
        if not self.counted or not self.others or set(self.counted) & set(self.others):
            raise ValueError("counted and others name at least one label each, none in both")
        return self


class PixelForestParams(Params):
    """How forests grow; ilastik's values."""

    trees: int | None = Field(default=None, ge=1, le=1000)
    """None: 100 on strokes, as ilastik; 400 on a project's labels, of which there may be few."""
    seed: int = Field(default=0, ge=0)


class IlastikParams(Params):
    """The approach `ilastik`."""

    mpp: float = Field(default=1.0, gt=0)
    """Micrometres a pixel of what is classified: that of a project's images, where one is given.
    A stain may have its own."""
    protocol: str = "holdout"
    label_method: str = "nucleus"
    """The labels that the shares on H&E are mapped to, on training slides."""
    he: SectionParams = SectionParams(counted=CLASSES["he"][2:], others=CLASSES["he"][1:2])
    ihc: SectionParams = SectionParams(counted=CLASSES["ihc"][2:], others=CLASSES["ihc"][1:2])
    strokes: StrokeParams = StrokeParams()
    forest: PixelForestParams = PixelForestParams()
    executable: str = ""
    """An `ilastik` to classify with instead of the built-in forest."""
    timeout_s: float = Field(default=600.0, gt=0)
    """So long may the executable take for one block."""
    ram_mb: int = Field(default=0, ge=0)
    """Memory that each of the executable's runs may use; 0: its own choice."""
    allowed_folders: tuple[str, ...] = ()
    """Folders outside a project's own that its images may lie in."""
    training_patches: int = Field(default=12, ge=1)
    """Patches of each training slide that the shares on H&E are mapped on."""
    min_nuclei_um2: float = Field(default=400.0, ge=0)
    """With less nuclear area in a region its ratio on Ki-67 is undefined; on H&E it is answered
    with the training slides' median."""

    def mpp_of(self, section: str) -> float:
        """Micrometres a pixel at which `he` or `ihc` is classified."""
        return self.section(section).mpp or self.mpp

    def section(self, section: str) -> SectionParams:
        """What holds for `he` or `ihc`."""
        return {"he": self.he, "ihc": self.ihc}[section]
