"""Where a regressor's training starts from: what its card and its colours owe to given weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.models.hub_backbones import HUB_PREFIX
from tumor_ratio.models.model_folder import WEIGHTS_FILE, read_card
from tumor_ratio.models.normalisation import (
    AnyNormalisation,
    Normalisation,
    normalisation_from_record,
)
from tumor_ratio.models.packaged_weights import packaged_weights
from tumor_ratio.models.regressor import RatioRegressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.models.weights_files import read_weights

SAME = ("backbone", "arguments", "hidden", "activation", "bounded", "bins", "pooling")
"""Of the architecture: what weights mean something in. Convolutions take patches of any size."""


@dataclass(frozen=True)
class Start:
    """Where a training starts from.

    Parameters
    ----------
    record : of the weights' source, training data and licence, for the model card; empty where they
        are random.
    words : the same in short, for tables: what was learned before.
    normalisation : colours that the weights expect; None where the training patches settle it.
    """

    record: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    normalisation: AnyNormalisation | None = None


def start_of(
    architecture: Architecture,
    options: BackboneOptions,
    published: Mapping[str, Any],
    initial: Path | None = None,
) -> Start:
    """What is known of the weights that a training starts from, before any is read.

    Parameters
    ----------
    architecture, options : see there.
    published : timm's `pretrained_cfg` of the backbone.
    initial : folder of the model that `options.initial` names.

    Raises
    ------
    ModelUnavailableError
        If the initial model's card cannot be read, or no package brings the weights.
    """
    if initial is not None:
        card = read_card(initial)
        earlier = f"an earlier model ({card.get('training_data', 'unknown')} slides)"
        trained_on = str(card.get("trained_on", earlier))
        return Start(
            {
                "source": f"model {card.get('approach', initial.name)}",
                "trained_on": trained_on,
                "licence": str(card.get("licence", "")),
            },
            trained_on,
            normalisation_from_record(card["normalisation"]),
        )
    colours = Normalisation(
        tuple(options.mean or published.get("mean", (0.485, 0.456, 0.406))),
        tuple(options.std or published.get("std", (0.229, 0.224, 0.225))),
        "pretrained",
    )
    if options.pretrained == "packaged":
        known = packaged_weights(architecture.backbone)
        own = Normalisation(known.mean, known.std, "pretrained")
        return Start(known.record(), "ImageNet", own)
    if options.weights_path:
        return Start({"source": "a local file"}, "given weights", colours)
    if options.pretrained:
        record = {
            "source": f"timm {published.get('hf_hub_id', architecture.backbone)}",
            "licence": str(published.get("license", "")),
        }
        named = options.name if options.name.startswith(HUB_PREFIX) else "timm's published weights"
        return Start(record, named, colours)
    return Start()


def go_on_from(network: RatioRegressor, initial: Path) -> None:
    """Give a network the weights of an earlier model, its head's among them.

    Raises
    ------
    ConfigurationError
        If the earlier model is another network; the message names what differs.
    ModelUnavailableError
        If its card or weights are missing or damaged.
    """
    card = read_card(initial)
    try:
        earlier = Architecture(**card["architecture"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnavailableError(
            f"the card in {initial} describes no network of this project",
            "set `backbone.initial` to a regressor's folder",
        ) from error
    asked = network.architecture
    differing = [
        f"{name} is {getattr(earlier, name)!r} there and {getattr(asked, name)!r} here"
        for name in SAME
        if getattr(earlier, name) != getattr(asked, name)
    ]
    if differing:
        raise ConfigurationError(
            f"the initial model in {initial} is another network: {'; '.join(differing)}",
            "set `backbone` and `head` as its card.json says, or leave `backbone.initial` empty",
        )
    weights = read_weights(initial / WEIGHTS_FILE, setting="backbone.initial")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:  # positions of a transformer's tokens, or other weights
        raise ConfigurationError(
            f"the weights in {initial} do not fit patches of {asked.patch_px} px: "
            f"{str(error).splitlines()[-1].strip()}",
            f"cut patches of {earlier.patch_px} px, or leave `backbone.initial` empty",
        ) from error
