"""What a regressor is made of and learns from: backbone, head, loss; plain dataclasses.

The defaults are the study's values; they import neither torch nor pydantic, and nest in typed
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tumor_ratio.errors import ConfigurationError

BACKBONES = {
    "resnet18": "resnet18",
    "resnet18_bins": "resnet18",
    "resnet50": "resnet50",
    "levit_128s": "levit_128s",
    "vit_b16": "vit_base_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_tiny": "vit_tiny_patch16_224",
}
"""Approaches with a name of their own, and timm's name of the backbone that the name promises."""

BIN_APPROACHES = ("resnet18_bins",)
"""Those whose name promises a classifier of bins (`head.bins`) as well."""


NormalisationName = Literal["cohort", "patch"]
"""How colours reach the network. `cohort`: intensities centred and scaled alike on all slides, by
the training patches' mean and spread, or by those that pretrained weights were published with.
`patch`: optical densities centred and scaled by each patch's own mean and spread."""


@dataclass(frozen=True)
class BackboneOptions:
    """The network below the head.

    Parameters
    ----------
    name : timm's name of the architecture; empty takes the one that the approach's name promises.
    pretrained : start from timm's published weights, by download.
    weights_path : start from weights in a local file (`.safetensors`, `.pth`, `.pt`, `.bin`; never
        unpickled as code), instead of a download; empty for none.
    frozen : leave these weights as they are: the features of each patch are computed once, without
        augmentation, and the head alone is trained on them.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = ""
    pretrained: bool = False
    weights_path: str = ""
    frozen: bool = False

    def __post_init__(self) -> None:
        """Check that there is one source of weights."""
        if self.pretrained and self.weights_path:
            raise ValueError("give `pretrained: true` or `weights_path`, not both")
        if self.frozen and not (self.pretrained or self.weights_path):
            raise ValueError("`frozen: true` needs `pretrained: true` or `weights_path`")


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
    """

    backbone: str
    patch_px: int
    hidden: int = 512
    activation: Literal["auto", "relu", "gelu"] = "auto"
    dropout: float = 0.2
    bounded: bool = False
    bins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Bins come from a card as a list."""
        object.__setattr__(self, "bins", tuple(self.bins))


def backbone_name(approach: str, options: BackboneOptions) -> str:
    """Name, in timm, of an approach's backbone.

    Raises
    ------
    ConfigurationError
        If the approach's name promises another backbone than the configured one, or an approach
        with a free name does not say its backbone.
    """
    promised = BACKBONES.get(approach)
    if promised is None and not options.name:
        raise ConfigurationError(
            f"approach '{approach}' does not say its backbone",
            f"set `{approach}.backbone.name` to one of timm's names, or use one of the approaches "
            f"{', '.join(BACKBONES)}",
        )
    if promised is not None and options.name not in ("", promised):
        raise ConfigurationError(
            f"approach '{approach}' means the backbone '{promised}', not '{options.name}'",
            "leave `backbone.name` empty, or give the approach a name of its own",
        )
    return options.name or str(promised)


def architecture_of(
    approach: str, backbone: BackboneOptions, head: HeadOptions, patch_px: int
) -> Architecture:
    """The network that an approach's options describe, for patches of `patch_px` pixels.

    Raises
    ------
    ConfigurationError
        See `backbone_name`; or if the approach's name promises bins and there are none.
    """
    if approach in BIN_APPROACHES and not head.bins:
        raise ConfigurationError(
            f"approach '{approach}' means a classifier of bins, and has none",
            f"set `{approach}.head.bins`, for instance to [0.2, 0.5]",
        )
    return Architecture(
        backbone=backbone_name(approach, backbone),
        patch_px=patch_px,
        hidden=head.hidden,
        activation=head.activation,
        dropout=head.dropout,
        bounded=head.bounded,
        bins=tuple(head.bins),
    )
