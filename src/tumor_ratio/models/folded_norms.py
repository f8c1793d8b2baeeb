"""Batch normalisation folded into the convolution before it, for networks that only predict.

A normalisation with fixed statistics is a factor and a shift a channel: weights and bias of the
convolution take both over, and a pass over every map is saved.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

M = TypeVar("M", bound=nn.Module)


def with_folded_norms(
    network: M, ask: Callable[[M], Any], within: Collection[str] | None = None
) -> M:
    """A copy of a network for prediction, whose outputs are the same but for rounding.

    Parameters
    ----------
    network : is left as it is.
    ask : lets a network predict something; which normalisation follows which convolution is seen
        by what they hand on meanwhile, so that the order of a network's parts does not matter.
    within : names of the modules that may be folded; all if None.

    Returns
    -------
    The copy, in evaluation mode, without gradients.
    """
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    names = {module: name for name, module in folded.named_modules()}
    for convolution, norm in _in_sequence(folded, ask):
        if within is not None and not {names[convolution], names[norm]} <= set(within):
            continue
        _replace(folded, names[convolution], fuse_conv_bn_eval(convolution, norm))
        # timm's normalisations end in an activation
        _replace(folded, names[norm], getattr(norm, "act", nn.Identity()))
    return folded


def _in_sequence(network: M, ask: Callable[[M], Any]) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions and what normalises their output, each used once."""
    made: dict[int, nn.Conv2d] = {}
    kept: list[torch.Tensor] = []  # as long as they live, no other tensor has their identity
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    used: list[nn.Module] = []

    def after_convolution(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        used.append(module)
        kept.append(output)
        made[id(output)] = module  # type: ignore[assignment]

    def before_norm(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        used.append(module)
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])], module))  # type: ignore[arg-type]

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(before_norm))
    try:
        with torch.no_grad():
            ask(network)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in pairs if all(used.count(module) == 1 for module in pair)]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
