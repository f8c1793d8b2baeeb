"""Arguments that a configuration or a model card may hand to timm's networks: plain values only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LAYERS = {
    "mlp_layer": ("Mlp", "GluMlp", "SwiGLU", "SwiGLUPacked"),
    "act_layer": ("GELU", "ReLU", "SiLU"),
}
"""Arguments that are classes, and the names of those that can be asked for."""

OWN_ARGUMENTS = (
    "model_name",
    "num_classes",
    "in_chans",
    "checkpoint_path",
    "cache_dir",
    "features_only",
    "out_indices",
    "feature_cfg",
    "feature_cls",
    "kwargs_filter",
    "scriptable",
    "exportable",
    "no_jit",
    "device",
    "dtype",
)
"""Arguments that this project settles itself, as it does all that begin with `pretrained`: among
them are those by which timm would load files."""


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they can stand in a model card.

    Parameters
    ----------
    arguments : for the network's class in timm, by name: numbers, truth values, text, and lists of
        them. Of those that are classes, the ones in `LAYERS` can be given, by name.

    Returns
    -------
    dict
        The same, tuples as lists.

    Raises
    ------
    ValueError
        If a value is anything else, or an argument is not the configuration's to give.
    """
    if not isinstance(arguments, Mapping):
        raise ValueError("backbone.arguments are names and values")
    for name, value in arguments.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"backbone.arguments: {name!r} is no name of an argument")
        if name in OWN_ARGUMENTS or name.startswith("pretrained"):
            raise ValueError(f"backbone.arguments: {name} cannot be set here; leave it out")
        if name in LAYERS and value not in LAYERS[name]:
            raise ValueError(
                f"backbone.arguments: {name} is one of {', '.join(LAYERS[name])}, not {value!r}"
            )
        if not _is_plain(value):
            raise ValueError(
                f"backbone.arguments: {name} is a {type(value).__name__}, where numbers, true, "
                "false, text and lists of them can stand"
            )
    return {name: _as_list(value) for name, value in arguments.items()}


def for_timm(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments, with classes for the names of layers."""
    from timm import layers
    from torch import nn

    homes = {"mlp_layer": layers, "act_layer": nn}
    return {
        name: getattr(homes[name], value) if name in LAYERS else value
        for name, value in arguments.items()
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, list | tuple) else value
