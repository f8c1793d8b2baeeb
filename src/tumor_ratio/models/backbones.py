"""timm's networks without their classifiers, by name."""

from __future__ import annotations

from typing import Any

from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.torchvision_shim import ensure_torchvision


def create_backbone(name: str, patch_px: int | None = None, *, setting: str) -> Any:
    """A network with random weights, from torch's current generator.

    Parameters
    ----------
    name : timm's name of the architecture.
    patch_px : side of the images that it will see; None leaves it at what its published weights
        were trained with.
    setting : the setting that named it, for messages.

    Raises
    ------
    ConfigurationError
        If timm does not know the name.
    """
    ensure_torchvision()
    import timm

    if not timm.is_model(name):
        close = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        hint = f", for instance {', '.join(close)}" if close else ""
        raise ConfigurationError(
            f"timm knows no backbone '{name}'", f"set `{setting}` to one that it knows{hint}"
        )
    if patch_px is not None:
        try:
            return timm.create_model(name, pretrained=False, num_classes=0, img_size=patch_px)
        except TypeError:
            pass  # convolutional backbones take any size and have no such argument
    return timm.create_model(name, pretrained=False, num_classes=0)
