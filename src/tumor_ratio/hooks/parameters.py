"""Typed parameters as flat names and values, the way MLflow compares them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

PREFIX = "params:"


def plain(value: Any) -> Any:
    """Parameter groups as dicts, all the way down; other values as they are."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    return value


def flat(name: str, value: Any) -> dict[str, Any]:
    """Dotted names below `name`, which may be empty, with their values.

    Examples
    --------
    >>> flat("tiles", {"size_px": 512, "edge": {"rule": "drop"}})
    {'tiles.size_px': 512, 'tiles.edge.rule': 'drop'}
    """
    if not isinstance(value, dict):
        return {name: value}
    return {
        path: leaf
        for key, entry in value.items()
        for path, leaf in flat(f"{name}.{key}" if name else key, entry).items()
    }


def parameters_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A node's parameters among its inputs, plain, by their names without `params:`."""
    return {
        name.removeprefix(PREFIX): plain(value)
        for name, value in inputs.items()
        if name.startswith(PREFIX)
    }


def without_namespace(name: str, approach: str) -> str:
    """Name of a parameter without its approach, so that approaches have the same names.

    Empty for the approach's whole group.

    Examples
    --------
    >>> without_namespace("regression.resnet18.training", "resnet18")
    'training'
    >>> without_namespace("tiles", "resnet18")
    'tiles'
    """
    parts = name.split(".")
    return ".".join(parts[parts.index(approach) + 1 :]) if approach in parts else name
