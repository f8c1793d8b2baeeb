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
    "resnet50": "resnet50",
    "levit_128s": "levit_128s",
    "vit_b16": "vit_base_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_tiny": "vit_tiny_patch16_224",
}
"""Approaches with a name of their own, and timm's name of the backbone that the name promises."""


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
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = ""
    pretrained: bool = False
    weights_path: str = ""

    def __post_init__(self) -> None:
        """Check that there is one source of weights."""
        if self.pretrained and self.weights_path:
            raise ValueError("give `pretrained: true` or `weights_path`, not both")


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
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    hidden: int = 512
    activation: Literal["auto", "relu", "gelu"] = "auto"
    dropout: float = 0.2
    bounded: bool = False
    start_at_mean: bool = False

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")


@dataclass(frozen=True)
class LossOptions:
    """The training loss.

    Parameters
    ----------
    name : `smooth_l1` (the study's), `mse`, `l1`, or `cross_entropy`: the likelihood of a share,
        whose gradient does not fade where a bounded output is far off; it needs `head.bounded`.
    beta : where `smooth_l1` passes from square to absolute, above 0.
    weighted : weight patches by how far their label is trusted; the study weights all alike.
    parts : teach a patch's parts as well, `parts` x `parts` squares of it, each with its own ratio
        and weighted by its nuclei; 0 teaches the patch alone. The same pixels say where the ratio
        is high, which costs no more time. For convolutional backbones.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: Literal["smooth_l1", "mse", "l1", "cross_entropy"] = "smooth_l1"
    beta: float = 0.05
    weighted: bool = False
    parts: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        if self.parts < 0:
            raise ValueError(f"parts must be at least 0, not {self.parts}")
        if not self.beta > 0:
            raise ValueError(f"beta must be above 0, not {self.beta}")


@dataclass(frozen=True)
class Architecture:
    """Everything needed to rebuild a regressor's network, as the model card stores it.

    Parameters
    ----------
    backbone : timm's name.
    patch_px : side of the square input in pixels.
    hidden, activation, dropout, bounded : see `HeadOptions`.
    """

    backbone: str
    patch_px: int
    hidden: int = 512
    activation: Literal["auto", "relu", "gelu"] = "auto"
    dropout: float = 0.2
    bounded: bool = False


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
        See `backbone_name`.
    """
    return Architecture(
        backbone=backbone_name(approach, backbone),
        patch_px=patch_px,
        hidden=head.hidden,
        activation=head.activation,
        dropout=head.dropout,
        bounded=head.bounded,
    )
