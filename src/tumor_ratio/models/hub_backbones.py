"""Backbones that a repository on the Hugging Face hub describes, as timm's names and arguments."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.pretrained import hub_file
from tumor_ratio.models.regressor_options import Architecture

HUB_PREFIX = "hf-hub:"
SETTLED = ("num_classes", "img_size")
"""Arguments that a description has and that follow from the head and the patches here."""
PUBLISHED = ("mean", "std", "classifier", "license")
"""What is taken over of a description beside the architecture."""


def described(architecture: Architecture) -> tuple[Architecture, dict[str, Any]]:
    """An architecture with timm's own name, and what is published about its weights.

    Parameters
    ----------
    architecture : one whose backbone does not begin with `hf-hub:` is returned as it is. Its own
        arguments go before those of the description.

    Returns
    -------
    Architecture, dict
        The dictionary is a part of timm's `pretrained_cfg`; empty without an `hf-hub:` name.

    Raises
    ------
    ModelUnavailableError
        If the description is neither cached nor reachable (within seconds), or is not one of
        timm's.
    """
    if not architecture.backbone.startswith(HUB_PREFIX):
        return architecture, {}
    repository = architecture.backbone.removeprefix(HUB_PREFIX)
    remedy = (
        "set `backbone.weights_path` to a local file with its weights, `backbone.name` to timm's "
        "name of the architecture and `backbone.arguments` to what its model card says"
    )
    path = hub_file(
        repository,
        ("config.json",),
        f"the description of '{architecture.backbone}' cannot be downloaded",
        remedy,
    )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        published = description.get("pretrained_cfg", description)
        arguments = {
            name: value
            for name, value in (description.get("model_args") or {}).items()
            if name not in SETTLED
        }
        found = dataclasses.replace(
            architecture,
            backbone=str(description["architecture"]),
            arguments={**arguments, **architecture.arguments},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelUnavailableError(
            f"the description of '{architecture.backbone}' is not one of timm's "
            f"({type(error).__name__}: {str(error).splitlines()[0]})",
            remedy,
        ) from error
    kept = {name: published[name] for name in PUBLISHED if published.get(name)}
    return found, {**kept, "hf_hub_id": repository}
