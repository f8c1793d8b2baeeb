"""Weights in files: read without executing what they contain, written under a temporary name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tumor_ratio.atomic import written_whole
from tumor_ratio.errors import ModelUnavailableError

NESTS = ("state_dict", "state_dict_ema", "model", "model_ema", "teacher", "student")
"""Where training checkpoints keep a state dict, in the order of preference."""


def read_weights(path: Path, *, setting: str = "weights_path") -> dict[str, Any]:
    """Tensors by name, on the CPU.

    Parameters
    ----------
    path : a `.safetensors` file, or one that `torch.save` wrote: a bare state dict, or a training
        checkpoint that holds one under one of `NESTS`, or under one within another.
    setting : the setting that named the file, for messages.

    Raises
    ------
    ModelUnavailableError
        If the file is missing, is damaged, holds no state dict, or is a pickle of anything but
        tensors and plain values (which could execute code, and is refused).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = f"point `{setting}` at a .safetensors file or a state dict saved by torch"
    if not path.is_file():
        raise ModelUnavailableError(f"there are no weights at {path}", remedy)
    if path.suffix != ".safetensors":
        return tensors_of(path, str(path), remedy=remedy)
    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(str(path), error, remedy) from error


def tensors_of(
    file: Path | BinaryIO,
    name: str,
    *,
    remedy: str = "take a state dict saved by torch",
) -> dict[str, Any]:
    """Tensors by name of what `torch.save` wrote; see `read_weights`.

    Parameters
    ----------
    file : where it is.
    name, remedy : for messages.

    Raises
    ------
    ModelUnavailableError
        See `read_weights`.
    """
    import torch

    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelUnavailableError(
            f"{name} holds more than tensors and could execute code; it was not loaded", remedy
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _unreadable(name, error, remedy) from error
    while isinstance(content, Mapping) and (
        inside := [key for key in NESTS if isinstance(content.get(key), Mapping)]
    ):
        content = content[inside[0]]
    if not isinstance(content, Mapping) or not content:
        raise ModelUnavailableError(f"{name} holds no state dict", remedy)
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _unreadable(name: str, error: Exception, remedy: str) -> ModelUnavailableError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelUnavailableError(f"{name} cannot be read as weights: {reason}", remedy)


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
