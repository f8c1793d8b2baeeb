"""Parameters of the CycleGAN."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tumor_ratio.models.cyclegan.options import (
    BlockOptions,
    CycleGanOptions,
    PreprocessOptions,
)
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.params import ChangesNoResult, Params
from tumor_ratio.reporting.stamps import TrainingData

LoadSize = Annotated[int, Field(ge=16)]


class SquareParams(Params):
    """Where on training slides images of both stains are cut."""

    size_px: int = Field(default=256, ge=32)
    """Pixels at `mpp`; at most a tile."""
    mpp: float = Field(default=1.0, ge=0.05, le=20)
    step_px: int = Field(default=64, ge=1)
    """Distance of neighbouring candidates in a tile, in pixels at `mpp`."""
    number: int = Field(default=320, ge=1)
    """Squares of all training slides together; fewer where there are fewer candidates."""
    ratio_edges: tuple[float, ...] = (0.05, 0.15, 0.3)
    """Squares are drawn evenly from the bins of the measured ratio between these; none: alike."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        edges = list(self.ratio_edges)
        if edges != sorted(set(edges)) or any(not 0 < edge < 1 for edge in edges):
            raise ValueError(f"ratio_edges increase inside 0 to 1, not {self.ratio_edges}")
        return self


class GanLearningParams(Params):
    """What a trained CycleGAN depends on beside its squares."""

    protocol: str = "holdout"
    """The protocol whose folds say which slides train."""
    label_method: str = "nucleus"
    """The labels that choose the epoch on validation slides."""
    squares: SquareParams = SquareParams()
    validation_tiles: int = Field(default=4, ge=1)
    """Tiles of validation slides that are translated and measured after every epoch."""
    gan: CycleGanOptions = CycleGanOptions()
    cache_mb: Annotated[int, ChangesNoResult()] = Field(default=512, ge=0)
    """Megabytes of squares kept in memory while training."""

    @property
    def mpp(self) -> float:
        """Micrometres a pixel of what the networks see: squares may be resized to `load_size`."""
        images = self.gan.images
        if images.preprocess in ("crop", "none"):
            return self.squares.mpp
        return self.squares.mpp * self.squares.size_px / images.load_size

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.gan.direction != "AtoB":
            raise ValueError("gan.direction: H&E is domain A and Ki-67 is B; only AtoB has a use")
        images = self.gan.images
        if images.preprocess == "crop" and images.crop_size > self.squares.size_px:
            raise ValueError(
                f"gan.images.crop_size {images.crop_size} is more than squares.size_px "
                f"{self.squares.size_px}: nothing is left to crop from"
            )
        return self


class KidParams(Params):
    """The kernel distance of virtual to real patches of test slides (KID)."""

    network: str = "inception_v3"
    """timm's name of the network whose features are compared."""
    weights_path: str = ""
    """Its weights in a local file (never unpickled as code); empty: no distance is computed."""
    patches: int = Field(default=128, ge=1)
    """Patches of a slide, at most; spread evenly."""
    subsets: int = Field(default=100, ge=1)
    """The distance is the mean over so many random subsets."""
    subset_size: int = Field(default=100, ge=2)
    """Patches of a subset; at most half of all."""
    seed: int = Field(default=0, ge=0)


class CycleGanParams(GanLearningParams):
    """The approach `cyclegan`."""

    initial: str = ""
    """Folder with `latest_net_G_A.pth`, `_G_B`, `_D_A` and `_D_B` to start the training from;
    `shipped` for the one that comes with this package."""
    checkpoint: str = ""
    """A `latest_net_G_A.pth` trained elsewhere, on images of `mpp`; nothing is trained then."""
    given_data: TrainingData = "phantom"
    """What the networks of `initial` or `checkpoint` were trained on: phantom, unless said."""
    folder: str
    """Where virtual slides are written."""
    blocks: BlockOptions = BlockOptions()
    translation: ComputeOptions = ComputeOptions()
    """Device, precision and threads of translation; training has its own (`gan.compute`)."""
    same_nucleus_um: float = Field(default=4.0, gt=0)
    """Nuclei of the H&E slide and of its translation are the same up to this distance."""
    mask_cell_um: float = Field(default=112.0, gt=0)
    """Cells in which virtual and real Ki-67 are held against each other: neighbouring sections
    share no nuclei, but agree at this scale."""
    kid: KidParams = KidParams()
    load_sizes: tuple[LoadSize, ...] = ()
    """Sizes that squares are resized to, compared by the pipeline gan_load_sizes; a list, or, for
    the command line, numbers with spaces between them."""
    test_tiles: int = Field(default=6, ge=1)
    """Tiles of test slides that load sizes are scored on."""

    @field_validator("load_sizes", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        return value.split() if isinstance(value, str) else value

    def learning(self) -> GanLearningParams:
        """The part that a training depends on: other settings must not train anew."""
        names = GanLearningParams.model_fields
        return GanLearningParams(**{name: getattr(self, name) for name in names})

    def at_load_size(self, load_size: int) -> GanLearningParams:
        """The same training with squares resized to `load_size`; their own size leaves them."""
        learning = self.learning()
        images = learning.gan.images
        resizes = load_size != self.squares.size_px
        changed = PreprocessOptions(
            preprocess="resize_and_crop" if resizes else "crop",
            load_size=load_size,
            crop_size=min(images.crop_size, load_size),
            no_flip=images.no_flip,
            turns=images.turns,
        )
        # Cells of the stain loss keep their size in micrometres.
        cell_px = max(1, round(learning.gan.stain_cell_px * load_size / self.squares.size_px))
        gan = replace(learning.gan, images=changed, stain_cell_px=cell_px)
        return learning.model_copy(update={"gan": gan})
