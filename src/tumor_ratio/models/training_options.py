"""How a network is trained: optimizer, schedule, epochs, augmentation; plain dataclasses.

The defaults are the study's values; they import neither torch nor pydantic, and nest in typed
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tumor_ratio.models.devices import ComputeOptions


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimizer and its learning rate.

    Parameters
    ----------
    name : `sgd` (the study's) or `adamw`.
    learning_rate : the schedule's peak, above 0.
    momentum : of `sgd`, in [0, 1).
    beta1 : of `adamw`, in [0, 1): its momentum; 0.9 is usual, 0.5 for adversaries.
    weight_decay : at least 0.
    clip_norm : gradients of greater norm are scaled down to it; None clips nothing.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 1e-4
    momentum: float = 0.9
    beta1: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name in ("momentum", "beta1"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}")


AUGMENTATION_BOUNDS = {
    "stain_jitter": 0.5,
    "brightness_jitter": 0.5,
    "hed_jitter": 0.5,
    "rotation_degrees": 45.0,
    "scale_jitter": 0.5,
    "blur_px": 5.0,
    "noise_levels": 50.0,
}
"""Most that each may be; all are at least 0."""


@dataclass(frozen=True)
class AugmentationOptions:
    """How training patches are varied; every patch draws anew in every epoch.

    Parameters
    ----------
    flips : `none`, `horizontal` (the study's) or `dihedral` (all eight flips and quarter turns).
    stain_jitter : standard deviation of the factor on each colour channel's optical density.
    brightness_jitter : standard deviation of what is added to all channels' optical density.
    hed_jitter : most that the amounts of hematoxylin, eosin and the residual are changed by, each
        by a factor and a shift of its own: 0.05 is light, 0.2 strong (Tellez et al. 2018).
    rotation_degrees : most that patches are turned beyond quarter turns; corners are mirrored.
    scale_jitter : most that patches are enlarged or reduced by, as a share; edges are mirrored.
    blur_px : largest standard deviation of a Gaussian blur, in pixels of the patch.
    blur_share : share of the patches that are blurred.
    noise_levels : largest standard deviation of noise on each pixel and channel, in levels of 255.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    flips: Literal["none", "horizontal", "dihedral"] = "horizontal"
    stain_jitter: float = 0.0
    brightness_jitter: float = 0.0
    hed_jitter: float = 0.0
    rotation_degrees: float = 0.0
    scale_jitter: float = 0.0
    blur_px: float = 0.0
    blur_share: float = 1.0
    noise_levels: float = 0.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, most in AUGMENTATION_BOUNDS.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be in [0, {most:g}], not {getattr(self, name)}")
        if not 0 < self.blur_share <= 1:
            raise ValueError(f"blur_share must be in (0, 1], not {self.blur_share}")

    @property
    def varies(self) -> bool:
        """Whether any patch is changed at all."""
        return self.flips != "none" or any(getattr(self, name) for name in AUGMENTATION_BOUNDS)


@dataclass(frozen=True)
class TrainingOptions:
    """One training.

    Parameters
    ----------
    epochs : passes over the training patches, at least 1.
    batch_size : at least 1.
    schedule : the learning rate's course: `constant` (the study's), `cosine` (down to 0), or
        `onecycle` (up over the first 30 % of the steps, then down to 0).
    patience : stop after so many epochs without a better validation score; None never stops
        early. The best epoch's weights are kept in either case.
    seed : of the weights, the order of patches, augmentation and dropout.
    optimizer, augmentation, compute : see there.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epochs: int = 50
    batch_size: int = 64
    schedule: Literal["constant", "cosine", "onecycle"] = "constant"
    patience: int | None = None
    seed: int = 0
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    compute: ComputeOptions = field(default_factory=ComputeOptions)

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, not {self.patience}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, not {self.seed}")
