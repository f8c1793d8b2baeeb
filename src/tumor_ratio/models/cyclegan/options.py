"""How a CycleGAN is built and trained; plain dataclasses that nest in typed parameters.

Options that the PyTorch reference implementation has carry its names and its defaults.
"""

# ruff: noqa: N815 - the reference's names are these
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tumor_ratio.models.devices import ComputeOptions

GeneratorName = Literal["resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"]
DiscriminatorName = Literal["basic", "n_layers", "pixel"]
NormName = Literal["instance", "batch", "none"]
InitName = Literal["normal", "xavier", "kaiming", "orthogonal"]
PreprocessName = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
LearningRatePolicy = Literal["linear", "step", "cosine"]
GanMode = Literal["lsgan", "vanilla"]


@dataclass(frozen=True)
class NetworkOptions:
    """The four networks.

    Parameters
    ----------
    netG : generators: `resnet_9blocks`, `resnet_6blocks`, `unet_256`, `unet_128`.
    netD : discriminators: `basic` (a PatchGAN that sees 70 x 70 px), `n_layers`, `pixel`.
    n_layers_D : convolution layers of `n_layers`, at least 1; `basic` has 3.
    ngf, ndf : filters of the generators' and of the discriminators' first layer.
    norm : `instance` (without affine parameters and running statistics), `batch`, `none`.
    no_dropout : generators without dropout.
    init_type, init_gain : first weights: `normal`, `xavier`, `kaiming` (which has no gain),
        `orthogonal`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    netG: GeneratorName = "resnet_9blocks"
    netD: DiscriminatorName = "basic"
    n_layers_D: int = 3
    ngf: int = 64
    ndf: int = 64
    norm: NormName = "instance"
    no_dropout: bool = True
    init_type: InitName = "normal"
    init_gain: float = 0.02

    def __post_init__(self) -> None:
        """Check the bounds."""
        _at_least(self, n_layers_D=1, ngf=1, ndf=1)
        if not self.init_gain > 0:
            raise ValueError(f"init_gain must be above 0, not {self.init_gain}")


@dataclass(frozen=True)
class PreprocessOptions:
    """How an image becomes a training crop.

    Parameters
    ----------
    preprocess : `resize_and_crop` (to a square of `load_size`, then a random crop), `crop`,
        `scale_width` (to a width of `load_size`), `scale_width_and_crop`, `none` (sides only
        rounded to multiples of 4).
    load_size, crop_size : pixels.
    no_flip : do not mirror half of the images.
    turns : show images in all eight flips and turns, which tissue allows; crops must be square. Not
        the reference's.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    preprocess: PreprocessName = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    no_flip: bool = False
    turns: bool = False

    def __post_init__(self) -> None:
        """Check the bounds, and that a crop fits into what it is cut from."""
        _at_least(self, load_size=4, crop_size=4)
        if self.turns and (self.no_flip or not self.crops):
            raise ValueError("turns needs crops, and no_flip: false")
        resized = self.preprocess in ("resize_and_crop", "scale_width_and_crop")
        if resized and self.load_size < self.crop_size:
            raise ValueError(
                f"load_size {self.load_size} is less than crop_size {self.crop_size}: "
                f"`{self.preprocess}` has nothing to cut from"
            )

    @property
    def crops(self) -> bool:
        """Whether every image ends with `crop_size` on both sides."""
        return self.preprocess in ("resize_and_crop", "crop", "scale_width_and_crop")


@dataclass(frozen=True)
class CycleGanOptions:
    """One training.

    Parameters
    ----------
    networks, images : see there.
    direction : `AtoB`: G_A translates domain A to B; `BtoA` swaps the domains.
    n_epochs, n_epochs_decay : epochs at the full learning rate, then epochs of its linear decay.
    batch_size : images of each domain a step; 1 is the reference's.
    serial_batches : images in their own order, instead of drawn.
    max_dataset_size : most images of a domain an epoch; None takes all.
    lr, beta1 : of Adam.
    lr_policy : `linear`; `step` (a tenth every `lr_decay_iters` epochs); `cosine` (down to 0 over
        `n_epochs`).
    gan_mode : `lsgan` (squared error) or `vanilla` (cross entropy).
    pool_size : earlier translations that discriminators are also shown; 0 for none.
    lambda_A, lambda_B : weights of the cycles A -> B -> A and B -> A -> B.
    lambda_identity : weight of the identity loss, relative to the cycles'; 0 leaves it out.
    cycle_noise : standard deviation, on the scale from -1 to 1, of noise on translations before
        they are translated back; 0 as in the reference. See `cycle_noise`.
    lambda_stain : weight of the stain loss, which the reference lacks: translations to domain B
        shall hold as much DAB as its image of the same place, in cells of `stain_cell_px` pixels.
        Above 0, images are no longer drawn independently: the i-th of A comes with the i-th of B.
    stain_warmup : steps over which that weight rises from 0: a large one drives an untrained
        generator into saturated colours, which it hardly leaves again.
    lambda_nuclei : weight of the nuclei loss, which the reference lacks: nuclei stay where they
        are, in both directions. It needs no pairs. See `nuclei_loss`.
    average : weight of the past, a step, in a running average of G_A's weights, which then is what
        is validated and kept: adversaries circle around each other, and their mean path is better
        than any place on it (Yazici et al. 2019, arXiv 1806.04498). 0 as in the reference.
    gradient_checkpointing : generators compute activations again on the way back instead of
        keeping them all: larger crops in the same memory.
    collapse_threshold : a generator has collapsed when its translations of a fixed panel vary less
        than this share of what they were made from; 0 never says so.
    seed : of weights, order, crops, pool and dropout.
    compute : see there.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    networks: NetworkOptions = field(default_factory=NetworkOptions)
    images: PreprocessOptions = field(default_factory=PreprocessOptions)
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    n_epochs: int = 100
    n_epochs_decay: int = 100
    batch_size: int = 1
    serial_batches: bool = False
    max_dataset_size: int | None = None
    lr: float = 2e-4
    beta1: float = 0.5
    lr_policy: LearningRatePolicy = "linear"
    lr_decay_iters: int = 50
    gan_mode: GanMode = "lsgan"
    pool_size: int = 50
    lambda_A: float = 10.0
    lambda_B: float = 10.0
    lambda_identity: float = 0.5
    cycle_noise: float = 0.0
    lambda_stain: float = 0.0
    stain_warmup: int = 0
    lambda_nuclei: float = 0.0
    stain_cell_px: int = 32
    average: float = 0.0
    gradient_checkpointing: bool = False
    collapse_threshold: float = 0.02
    seed: int = 0
    compute: ComputeOptions = field(default_factory=ComputeOptions)

    def __post_init__(self) -> None:
        """Check the bounds."""
        _at_least(self, n_epochs=1, n_epochs_decay=0, batch_size=1, lr_decay_iters=1, pool_size=0)
        _at_least(self, lambda_A=0, lambda_B=0, lambda_identity=0)
        _at_least(self, lambda_stain=0, lambda_nuclei=0, stain_warmup=0)
        _at_least(self, cycle_noise=0)
        _at_least(self, stain_cell_px=1, seed=0)
        if self.max_dataset_size is not None:
            _at_least(self, max_dataset_size=1)
        if not self.lr > 0:
            raise ValueError(f"lr must be above 0, not {self.lr}")
        if not 0 <= self.beta1 < 1:
            raise ValueError(f"beta1 must be in [0, 1), not {self.beta1}")
        for name in ("collapse_threshold", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if self.batch_size > 1 and not self.images.crops:
            raise ValueError(
                f"batch_size {self.batch_size} needs images of one size, which preprocess "
                f"'{self.images.preprocess}' does not make"
            )

        if self.lambda_stain > 0 and self.direction != "AtoB":
            raise ValueError("lambda_stain compares images of domain B: direction must be AtoB")

    @property
    def paired(self) -> bool:
        """Whether a step shows images of the same place in both domains."""
        return self.lambda_stain > 0

    @property
    def epochs(self) -> int:
        """All epochs."""
        return self.n_epochs + self.n_epochs_decay


@dataclass(frozen=True)
class BlockOptions:
    """How an image is cut.

    Parameters
    ----------
    block_px : side of a block; a multiple of the generator's, at least 64. Memory grows with its
        square: with 64 filters, 1024 px take 0.5 GB in float32.
    overlap_px : least overlap of neighbours.
    crop_px, crops_mpx : statistics are measured on the whole image where it has at most so many
        million pixels; on a larger one, on squares spread over it that have so many together. With
        64 filters each million takes 0.5 GB in float32, 0.3 GB in bf16.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    block_px: int = 1024
    overlap_px: int = 128
    crop_px: int = 256
    crops_mpx: float = 4.2

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.block_px < 64:
            raise ValueError(f"block_px must be at least 64, not {self.block_px}")
        if not 0 <= self.overlap_px <= self.block_px // 2:
            raise ValueError(
                f"overlap_px must be in [0, {self.block_px // 2}], half a block, "
                f"not {self.overlap_px}"
            )
        if self.crop_px < 64 or not self.crops_mpx > 0:
            raise ValueError("crop_px must be at least 64, and crops_mpx above 0")


def _at_least(options: Any, **bounds: float) -> None:
    for name, least in bounds.items():
        value = getattr(options, name)
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
