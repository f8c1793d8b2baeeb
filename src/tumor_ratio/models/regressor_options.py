"""What a regressor is made of and learns from: backbone, head, loss; plain dataclasses.

The defaults are the study's values; they import neither torch nor pydantic, and nest in typed
parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tumor_ratio.models.backbone_arguments import plain_arguments

NormalisationName = Literal["cohort", "patch"]
"""How colours reach the network. `cohort`: intensities centred and scaled alike on all slides, by
the training patches' mean and spread, or by those that pretrained weights were published with.
`patch`: optical densities centred and scaled by each patch's own mean and spread."""


@dataclass(frozen=True)
class PoolingOptions:
    """From the backbone's maps to one vector a patch.

    Parameters
    ----------
    name : `backbone` takes the network's own vector; `mean_spread` mean and standard deviation of
        every channel over the maps of `strides`; `transformer` a small vision transformer whose
        tokens are the places of one map.
    strides : of the maps, in pixels of the patch; for `transformer` a single one.
    merge : `merge` x `merge` places of that map become one token; a divisor of the map's side.
    width, depth, heads : of the transformer; `width` is a multiple of `heads`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: Literal["backbone", "mean_spread", "transformer"] = "backbone"
    strides: tuple[int, ...] = ()
    merge: int = 1
    width: int = 128
    depth: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        """Check that strides and name fit, and the bounds."""
        object.__setattr__(self, "strides", tuple(self.strides))  # a card has them as a list
        most = {"backbone": 0, "mean_spread": 9, "transformer": 1}[self.name]
        if not min(most, 1) <= len(set(self.strides)) == len(self.strides) <= most:
            wanted = {"backbone": "no", "mean_spread": "one or more", "transformer": "one"}
            raise ValueError(
                f"pooling.name: {self.name} takes {wanted[self.name]} pooling.strides, "
                f"not {list(self.strides)}"
            )
        for field in ("merge", "width", "depth", "heads"):
            if getattr(self, field) < 1:
                raise ValueError(f"pooling.{field} must be at least 1, not {getattr(self, field)}")
        if self.width % self.heads:
            raise ValueError(f"pooling.width {self.width} is no multiple of {self.heads} heads")


@dataclass(frozen=True)
class BackboneOptions:
    """The network below the head.

    Parameters
    ----------
    name : timm's name of the architecture; empty takes the one that the approach's name promises.
        `hf-hub:<organisation>/<model>` takes what a repository on the Hugging Face hub describes.
    arguments : further ones for timm's network, by name; see `plain_arguments`.
    mean, std : colours that `pretrained` weights or those of `weights_path` expect, a number a
        channel in shares of full intensity; empty takes those published under the name.
    pretrained : `true` starts from timm's published weights, by download; `packaged` from weights
        that an installed package brings.
    weights_path : start from weights in a local file (`.safetensors`, `.pth`, `.pt`, `.bin`; never
        unpickled as code), instead; empty for none.
    initial : go on from an earlier model of this project, head included: its folder,
        `models:/<name>@<alias>` of MLflow, or `shipped` for the one that comes with this package.
    frozen : leave these weights as they are: features are computed once, and what lies above the
        backbone is trained on them.
    frozen_stages : stages of the backbone, its stem counted first, that keep their weights while
        the others are trained; 0 trains all.
    copies : of a frozen backbone, versions of each patch whose features are computed: the patch as
        it is, and further ones varied as `training.augmentation` says. Each epoch draws one a
        patch.
    pooling : from maps to one vector a patch.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = ""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    pretrained: bool | Literal["packaged"] = False
    weights_path: str = ""
    initial: str = ""
    frozen: bool = False
    frozen_stages: int = 0
    copies: int = 1
    pooling: PoolingOptions = PoolingOptions()

    @property
    def starts_trained(self) -> bool:
        """Whether any weights are given."""
        return bool(self.pretrained or self.weights_path or self.initial)

    def __post_init__(self) -> None:
        """Check that there is one source of weights, and that what is frozen has been trained."""
        object.__setattr__(self, "arguments", plain_arguments(self.arguments))
        self._check_colours()
        if sum(map(bool, (self.pretrained, self.weights_path, self.initial))) > 1:
            raise ValueError("give one of `pretrained`, `weights_path` and `initial`, not more")
        if (self.frozen or self.frozen_stages) and not self.starts_trained:
            raise ValueError(
                "`frozen` and `frozen_stages` need `pretrained`, `weights_path` or `initial`"
            )
        if self.frozen and self.frozen_stages:
            raise ValueError("`frozen: true` freezes all stages: leave `frozen_stages` at 0")
        if self.frozen_stages < 0:
            raise ValueError(f"frozen_stages must be at least 0, not {self.frozen_stages}")
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, not {self.copies}")
        if self.copies > 1 and not self.frozen:
            raise ValueError("`copies` are of a frozen backbone: set `frozen: true`, or leave it")

    def _check_colours(self) -> None:
        if not self.mean and not self.std:
            return
        if not len(self.mean) == len(self.std) == 3 or min(self.std) <= 0:
            raise ValueError("`mean` and `std` are three numbers each, those of `std` above 0")
        if not (self.weights_path or self.pretrained is True):
            raise ValueError("`mean` and `std` go with `weights_path` or `pretrained: true`")


@dataclass(frozen=True)
class HeadOptions:
    """From the backbone's features to one number.

    Parameters
    ----------
    hidden : width of the fully connected layer before the last, at least 1.
    activation : `auto` is the study's: ReLU on convolutional backbones, GELU on transformers.
    dropout : share of the hidden layer dropped in training, in [0, 1).
    bounded : end in a sigmoid, so that outputs lie in (0, 1); the study's output is unbounded.
    start_at_mean : begin training at an output near the training ratios' mean.
    bins : edges between bins of the ratio, ascending, in (0, 1); a ratio on an edge belongs to the
        bin above it. With edges, the head is a classifier of the bins and answers the expectation
        of their mean training ratios (of the centre, for a bin without training patches); empty
        for one number.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    hidden: int = 512
    activation: Literal["auto", "relu", "gelu"] = "auto"
    dropout: float = 0.2
    bounded: bool = False
    start_at_mean: bool = False
    bins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the bounds."""
        if list(self.bins) != sorted(set(self.bins)) or not all(0 < edge < 1 for edge in self.bins):
            raise ValueError(f"bins are edges that increase, within (0, 1); not {self.bins}")
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")


LossName = Literal[
    "smooth_l1", "mse", "l1", "cross_entropy", "beta_binomial", "interval", "bin_cross_entropy"
]


@dataclass(frozen=True)
class LossOptions:
    """The training loss.

    Parameters
    ----------
    name : `smooth_l1` (the study's), `mse`, `l1`, `cross_entropy` (the likelihood of a share, whose
        gradient does not fade where a bounded output is far off), `beta_binomial` (the likelihood
        of a share among the label's effective number of nuclei; with `cross_entropy` it needs
        `head.bounded`), `interval` (nothing within the label's interval, SmoothL1 of the distance
        beyond it), or `bin_cross_entropy` (of the classes of `head.bins`).
    beta : where `smooth_l1` and `interval` pass from square to absolute, above 0.
    correlation : of `beta_binomial`, in (0, 1): how alike nuclei of one patch are beyond what their
        effective number says; the larger, the less do labels of many nuclei outweigh others.
    class_weights : of `bin_cross_entropy`: `none`, or `balanced`, which weights the bins inversely
        to their number of training patches.
    weighted : weight patches by how far their label is trusted; the study weights all alike.
    parts : teach a patch's parts as well, `parts` x `parts` squares of it, each with its own ratio
        and weighted by its nuclei; 0 teaches the patch alone. The same pixels say where the ratio
        is high, which costs no more time. For convolutional backbones.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: LossName = "smooth_l1"
    beta: float = 0.05
    correlation: float = 0.01
    class_weights: Literal["none", "balanced"] = "none"
    weighted: bool = False
    parts: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.parts < 0:
            raise ValueError(f"parts must be at least 0, not {self.parts}")
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, not {self.beta}")
        if not 0 < self.correlation < 1:
            raise ValueError(f"correlation must be in (0, 1), not {self.correlation}")


@dataclass(frozen=True)
class Architecture:
    """Everything needed to rebuild a regressor's network, as the model card stores it.

    Parameters
    ----------
    backbone : timm's name.
    patch_px : side of the square input in pixels.
    hidden, activation, dropout, bounded, bins : see `HeadOptions`.
    pooling : see `PoolingOptions`.
    arguments : see `BackboneOptions`; cards of earlier versions have none.
    """

    backbone: str
    patch_px: int
    hidden: int = 512
    activation: Literal["auto", "relu", "gelu"] = "auto"
    dropout: float = 0.2
    bounded: bool = False
    bins: tuple[float, ...] = ()
    pooling: PoolingOptions = PoolingOptions()
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """A card has bins as a list, and options as a dictionary; its arguments are not trusted."""
        object.__setattr__(self, "arguments", plain_arguments(self.arguments))
        object.__setattr__(self, "bins", tuple(self.bins))
        if isinstance(self.pooling, Mapping):
            object.__setattr__(self, "pooling", PoolingOptions(**self.pooling))
