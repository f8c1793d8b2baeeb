"""Which network a state dict belongs to, told by its keys and shapes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tumor_ratio.models.cyclegan.networks import RESNET_BLOCKS, UNET_LEVELS
from tumor_ratio.models.cyclegan.options import NetworkOptions, NormName


def recognise_generator(weights: Mapping[str, Any]) -> NetworkOptions | None:
    """Options of the generator whose weights these are; None where they are no generator's.

    A U-Net's dropout leaves no trace in its weights and changes nothing in translation: it is
    given as absent.
    """
    first = _shape(weights, "model.1.weight")
    if len(first) == 4 and first[1:] == (3, 7, 7):
        return _resnet(weights, first[0])
    first = _shape(weights, "model.model.0.weight")
    if len(first) == 4 and first[1:] == (3, 4, 4):
        return _unet(weights, first[0])
    return None


def recognise_discriminator(weights: Mapping[str, Any]) -> NetworkOptions | None:
    """Options of the discriminator whose weights these are; None where they are none's."""
    first = _shape(weights, "net.0.weight")
    if len(first) == 4 and first[1:] == (3, 1, 1):
        norm = _norm(weights, "net.2", "net.3")
        return NetworkOptions(netD="pixel", ndf=first[0], norm=norm)
    first = _shape(weights, "model.0.weight")
    if len(first) != 4 or first[1:] != (3, 4, 4):
        return None
    layers = {name for name in weights if len(_shape(weights, name)) == 4}
    n_layers, norm = len(layers) - 2, _norm(weights, "model.2", "model.3")
    if n_layers < 1:
        return None
    if n_layers == 3:
        return NetworkOptions(netD="basic", ndf=first[0], norm=norm)
    return NetworkOptions(netD="n_layers", n_layers_D=n_layers, ndf=first[0], norm=norm)


def describe(weights: Mapping[str, Any]) -> str:
    """What a state dict holds, for messages."""
    generator, discriminator = recognise_generator(weights), recognise_discriminator(weights)
    if generator is not None:
        return f"a generator {generator.netG} with {generator.ngf} filters, norm {generator.norm}"
    if discriminator is not None:
        layers = f" of {discriminator.n_layers_D}" if discriminator.netD == "n_layers" else ""
        return (
            f"a discriminator {discriminator.netD}{layers} with {discriminator.ndf} filters, "
            f"norm {discriminator.norm}"
        )
    return "no CycleGAN network"


def _resnet(weights: Mapping[str, Any], n_filters: int) -> NetworkOptions | None:
    blocks = {m[1] for name in weights if (m := re.match(r"model\.(\d+)\.conv_block\.1\.w", name))}
    names = {n: name for name, n in RESNET_BLOCKS.items()}
    if len(blocks) not in names:
        return None
    # The sixth layer is the second convolution where dropout stands before it, else a norm.
    dropout = len(_shape(weights, "model.10.conv_block.6.weight")) == 4
    return NetworkOptions(
        netG=names[len(blocks)],  # type: ignore[arg-type]
        ngf=n_filters,
        norm=_norm(weights, "model.1", "model.2"),
        no_dropout=not dropout,
    )


def _unet(weights: Mapping[str, Any], n_filters: int) -> NetworkOptions | None:
    # The outermost level's first convolution, then one more for each further level.
    depth = max(name.count("model.") for name in weights) - 1
    names = {n: name for name, n in UNET_LEVELS.items()}
    if depth not in names:
        return None
    norm = _norm(weights, "model.model.0", "model.model.1.model.2")
    return dataclasses.replace(
        NetworkOptions(ngf=n_filters, norm=norm),
        netG=names[depth],  # type: ignore[arg-type]
    )


def _norm(weights: Mapping[str, Any], convolution: str, norm: str) -> NormName:
    if f"{norm}.weight" in weights:
        return "batch"
    return "instance" if f"{convolution}.bias" in weights else "none"


def _shape(weights: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(weights[name].shape) if name in weights else ()
