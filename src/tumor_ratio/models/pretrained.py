"""Pretrained backbones: from a local file, or by a download that fails fast without a network."""

from __future__ import annotations

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.weights_files import read_weights

CONNECT_SECONDS = 4.0
REFUSALS = (403, 407, 502, 503, 504)
OWN_PREFIX = "backbone."
FURTHER_CLASSIFIERS = ("head_dist", "pre_logits", "AuxLogits")
"""Of distilled transformers, of transformers with a layer before the classifier, of Inception."""
SHOWN_KEYS = 5


def load_backbone_weights(
    backbone: Any, path: Path, *, setting: str = "backbone.weights_path"
) -> None:
    """Copy weights from a file into a timm backbone.

    Parameters
    ----------
    backbone : timm model without a classifier.
    path : see `read_weights`; the model file of a finished training (keys `backbone.*`) serves too.
        The file's own classifiers are left out; a transformer's position embedding is resampled to
        the backbone's grid.
    setting : the setting that named the file, for messages.

    Raises
    ------
    ModelUnavailableError
        If the file cannot be read, or if its keys or shapes are not those of the backbone; the
        message lists what is missing and what is unexpected.
    """
    weights = read_weights(path, setting=setting)
    if any(key.startswith(OWN_PREFIX) for key in weights):
        weights = {
            key.removeprefix(OWN_PREFIX): value
            for key, value in weights.items()
            if key.startswith(OWN_PREFIX)
        }
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        weights = convert(weights, backbone)
    weights = _without_classifier(weights, backbone)
    _check_keys(weights, backbone.state_dict(), path, setting)
    backbone.load_state_dict(weights)


def download_weights(backbone: Any, name: str) -> Path:
    """File with timm's published weights of a backbone, downloaded unless it is in the cache.

    Parameters
    ----------
    backbone : timm model, for where its weights are published.
    name : timm's name, for messages.

    Raises
    ------
    ModelUnavailableError
        If timm publishes no weights for the architecture, or they are neither cached nor
        reachable. Without a network this takes seconds, not minutes.
    """
    repository = (backbone.pretrained_cfg or {}).get("hf_hub_id")
    if not repository:
        raise ModelUnavailableError(
            f"timm publishes no pretrained weights for '{name}'",
            "set `backbone.pretrained: false`, or `backbone.weights_path` to a local file",
        )
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    for file in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    remedy = (
        "set `backbone.weights_path` to a local file with these weights (for instance "
        f"model.safetensors of {repository}), or `backbone.pretrained: false`"
    )
    message = f"the pretrained weights of '{name}' cannot be downloaded"
    if constants.is_offline_mode():
        raise ModelUnavailableError(f"{message}: HF_HUB_OFFLINE is set", remedy)
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    if (obstacle := unreachable(endpoint)) is not None:
        raise ModelUnavailableError(f"{message}: {endpoint} is not reachable ({obstacle})", remedy)
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and OS errors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelUnavailableError(f"{message}: {reason}", remedy) from error


def unreachable(url: str) -> str | None:
    """Why a server gives no answer within seconds, in one line; None where it answers.

    Proxies of the environment are used; one that refuses answers in the server's place.
    """
    outcome: list[str | None] = []
    # In a thread: no timeout reaches the resolution of names, which can hang for a minute.
    asking = threading.Thread(target=lambda: outcome.append(_ask(url)), daemon=True)
    asking.start()
    asking.join(CONNECT_SECONDS + 1)
    return outcome[0] if outcome else f"no answer within {CONNECT_SECONDS + 1:g} s"


def _ask(url: str) -> str | None:
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}" if error.code in REFUSALS else None
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        return str(getattr(error, "reason", error)).splitlines()[0]


def _without_classifier(weights: Mapping[str, Any], backbone: Any) -> dict[str, Any]:
    names = (backbone.pretrained_cfg or {}).get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    heads = tuple(f"{name}." for name in (*names, *FURTHER_CLASSIFIERS))
    expected = backbone.state_dict()
    return {
        key: value for key, value in weights.items() if key in expected or not key.startswith(heads)
    }


def _check_keys(
    weights: Mapping[str, Any], expected: Mapping[str, Any], path: Path, setting: str
) -> None:
    # Batch counters are absent from old files, and only matter without a fixed momentum.
    missing = [
        key for key in expected if key not in weights and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in weights if key not in expected]
    misshapen = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in weights and weights[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({_some(keys)})"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if keys
    ]
    if problems:
        raise ModelUnavailableError(
            f"{path} does not hold this backbone's weights: {'; '.join(problems)}",
            f"point `{setting}` at weights of the same architecture",
        )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")
