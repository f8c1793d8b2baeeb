"""Pretrained backbones: from a local file, or by a download that fails fast without a network."""

from __future__ import annotations

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.weights_files import read_weights

OWN_SETTING = "backbone.weights_path"
CONNECT_SECONDS = 4.0
REFUSALS = (403, 407, 502, 503, 504)
PREFIXES = ("teacher.", "student.", "module.", "model.", "backbone.")
"""What trainings wrap around a network's names, DINO's and this project's among them; of a teacher
and a student the teacher is taken."""
FURTHER_CLASSIFIERS = ("head_dist", "pre_logits", "AuxLogits")
"""Of distilled transformers, of transformers with a layer before the classifier, of Inception."""
PRETRAINING_TOKENS = ("mask_token", "masked_embed")
"""What DINOv2 and iBOT put in the place of hidden patches, in pretraining alone."""
SHOWN_KEYS = 5


def load_backbone_weights(backbone: Any, path: Path, *, setting: str = OWN_SETTING) -> None:
    """Copy weights from a file into a timm backbone.

    Parameters
    ----------
    backbone : timm model without a classifier.
    path : see `read_weights`; the model file of a finished training (keys `backbone.*`) serves too,
        and so do those of trainings that wrap the network (`PREFIXES`).
        The file's own classifiers are left out; a transformer's position embedding is resampled to
        the backbone's grid.
    setting : the setting that named the file, for messages.

    Raises
    ------
    ModelUnavailableError
        If the file cannot be read, or if its keys or shapes are not those of the backbone; the
        message lists what is missing and what is unexpected.
    """
    described = ", or describe theirs in `backbone.arguments`" if setting == OWN_SETTING else ""
    fill_backbone(
        backbone,
        read_weights(path, setting=setting),
        str(path),
        remedy=f"point `{setting}` at weights of the same architecture{described}",
    )


def fill_backbone(
    backbone: Any,
    weights: Mapping[str, Any],
    source: str,
    *,
    remedy: str = "take weights of the same architecture",
) -> None:
    """Copy tensors into a timm backbone; see `load_backbone_weights`.

    Parameters
    ----------
    backbone : timm model without a classifier.
    weights : tensors by name.
    source, remedy : for messages.

    Raises
    ------
    ModelUnavailableError
        If keys or shapes are not those of the backbone.
    """
    weights = _unwrapped(weights, backbone.state_dict())
    convert = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        try:
            weights = convert(dict(weights), backbone)  # which takes entries out
        except Exception as error:  # a converter meets shapes that it was not written for
            reason = str(error).splitlines()[0] if str(error) else "no reason given"
            raise ModelUnavailableError(
                f"{source} does not hold this backbone's weights: timm cannot convert them "
                f"({type(error).__name__}: {reason})",
                remedy,
            ) from error
    weights = _without_classifier(weights, backbone)
    _check_keys(weights, backbone.state_dict(), source, remedy)
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
    return hub_file(
        repository,
        ("model.safetensors", "pytorch_model.bin"),
        f"the pretrained weights of '{name}' cannot be downloaded",
        "set `backbone.weights_path` to a local file with these weights (for instance "
        f"model.safetensors of {repository}), or `backbone.pretrained: false`",
    )


def hub_file(repository: str, files: Sequence[str], message: str, remedy: str) -> Path:
    """The first of some files that a repository of the Hugging Face hub has, cached or downloaded.

    Parameters
    ----------
    repository : `organisation/model`, `@` and a revision behind it where not the newest is meant.
    files : names, the preferred one first.
    message, remedy : of the error.

    Raises
    ------
    ModelUnavailableError
        If none is cached and the hub cannot be asked, refuses, or has none; without a network
        within seconds.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    repository, _, named = repository.partition("@")
    revision = named or None
    for file in files:
        cached = try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    if constants.is_offline_mode():
        raise ModelUnavailableError(f"{message}: HF_HUB_OFFLINE is set", remedy)
    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    if (obstacle := unreachable(endpoint)) is not None:
        raise ModelUnavailableError(f"{message}: {endpoint} is not reachable ({obstacle})", remedy)
    for file in files:
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError:
            continue
        except Exception as error:  # the hub's client raises its own, its HTTP library's, OS errors
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelUnavailableError(f"{message}: {reason}", remedy) from error
    raise ModelUnavailableError(f"{message}: {repository} has no {' or '.join(files)}", remedy)


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


def _unwrapped(weights: Mapping[str, Any], expected: Mapping[str, Any]) -> Mapping[str, Any]:
    """Weights by the network's own names: prefixes taken off, and what lacks them left out."""
    while True:
        prefix = next(
            (
                prefix
                for prefix in PREFIXES
                if any(key.startswith(prefix) for key in weights)
                and not any(key.startswith(prefix) for key in expected)
            ),
            None,
        )
        if prefix is None:
            return weights
        weights = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix)
        }


def _without_classifier(weights: Mapping[str, Any], backbone: Any) -> dict[str, Any]:
    names = (backbone.pretrained_cfg or {}).get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    heads = tuple(f"{name}." for name in (*names, *FURTHER_CLASSIFIERS))
    expected = backbone.state_dict()
    return {
        key: value
        for key, value in weights.items()
        if key in expected or not (key.startswith(heads) or key in PRETRAINING_TOKENS)
    }


def _check_keys(
    weights: Mapping[str, Any], expected: Mapping[str, Any], source: str, remedy: str
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
            f"{source} does not hold this backbone's weights: {'; '.join(problems)}", remedy
        )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")
