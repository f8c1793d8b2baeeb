"""Weights in files: read without executing what they contain, written under a temporary name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tumor_ratio.atomic import written_whole
from tumor_ratio.errors import ModelUnavailableError


def read_weights(path: Path, *, setting: str = "weights_path") -> dict[str, Any]:
    """Tensors by name, on the CPU.

    Parameters
    ----------
    path : a `.safetensors` file, or one that `torch.save` wrote: a bare state dict, or a training
        checkpoint that holds one under `state_dict`, `state_dict_ema`, `model` or `model_ema`.
    setting : the setting that named the file, for messages.

    Raises
    ------
    ModelUnavailableError
        If the file is missing, is damaged, holds no state dict, or is a pickle of anything but
        tensors and plain values (which could execute code, and is refused).
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = f"point `{setting}` at a .safetensors file or a state dict saved by torch"
    if not path.is_file():
        raise ModelUnavailableError(f"there are no weights at {path}", remedy)
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path, device="cpu"))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelUnavailableError(
            f"{path} holds more than tensors and could execute code; it was not loaded", remedy
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelUnavailableError(
            f"{path} cannot be read as weights: {reason}", remedy
        ) from error
    for name in ("state_dict", "state_dict_ema", "model", "model_ema"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise ModelUnavailableError(f"{path} holds no state dict", remedy)
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def write_weights(weights: Mapping[str, Any], path: Path) -> None:
    """Write tensors as `.safetensors`; the file appears whole or not at all.

    Raises
    ------
    DiskFullError
        If there is no room for it.
    """
    from safetensors.torch import save

    # Written by Python, since the library's own writer does not say that the disk is full.
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
