"""timm's networks without their classifiers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.backbone_arguments import for_timm
from tumor_ratio.models.torchvision_shim import ensure_torchvision


def create_backbone(
    name: str,
    patch_px: int | None = None,
    *,
    setting: str,
    arguments: Mapping[str, Any] | None = None,
) -> Any:
    """A network with random weights, from torch's current generator.

    Parameters
    ----------
    name : timm's name of the architecture.
    patch_px : side of the images that it will see; None leaves it at what its published weights
        were trained with.
    setting : the setting that named it, for messages.
    arguments : see `plain_arguments`; `img_size` among them goes before `patch_px`.

    Raises
    ------
    ConfigurationError
        If timm does not know the name, or cannot make the network with the arguments.
    """
    ensure_torchvision()
    import timm

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        hint = f", for instance {', '.join(close)}" if close else ""
        raise ConfigurationError(
            f"timm knows no backbone '{name}'", f"set `{setting}` to one that it knows{hint}"
        )
    given = for_timm(arguments or {})
    sized = given if patch_px is None else {"img_size": patch_px, **given}
    try:
        try:
            return timm.create_model(name, pretrained=False, num_classes=0, **sized)
        except TypeError:  # convolutional backbones take any size and have no such argument
            return timm.create_model(name, pretrained=False, num_classes=0, **given)
    except Exception as error:  # timm's networks raise what they like about their arguments
        if not given:
            raise
        raise _impossible(name, given, error) from error


def _impossible(name: str, given: Mapping[str, Any], error: Exception) -> ConfigurationError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ConfigurationError(
        f"timm cannot make '{name}' with the arguments {', '.join(given)}: {reason}",
        "correct `backbone.arguments`: they are those of the network's class in timm",
    )
