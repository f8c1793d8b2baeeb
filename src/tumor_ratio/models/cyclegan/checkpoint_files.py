"""Checkpoint files as the PyTorch reference names and writes them: `<epoch>_net_G_A.pth`.

Each holds one network's bare state dict. Nothing in a file is ever executed. Two things are taken
off what older or wrapped networks wrote: prefixes (`module.` of data parallelism, `_orig_mod.` of
compilation), and the running statistics that instance norms once kept and never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tumor_ratio.atomic import written_whole
from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.cyclegan.networks import (
    NETWORK_NAMES,
    CycleGan,
    Generator,
    make_generator,
)
from tumor_ratio.models.cyclegan.norms import instance_norms
from tumor_ratio.models.cyclegan.recognition import describe, recognise_generator
from tumor_ratio.models.weights_files import read_weights

WRAPPERS = ("module.", "_orig_mod.")
RUNNING = ("running_mean", "running_var", "num_batches_tracked")
SHOWN = 3
SETTING = "the checkpoint"


def checkpoint_path(folder: Path, name: str, epoch: str | int = "latest") -> Path:
    """Where the reference keeps a network's weights, such as `latest_net_G_A.pth`."""
    return folder / f"{epoch}_net_{name}.pth"


def write_network(network: nn.Module, path: Path) -> None:
    """Write a network's weights so that the reference loads them; whole or not at all.

    Raises
    ------
    DiskFullError
        If there is no room.
    """
    weights = {name: v.detach().cpu().contiguous() for name, v in network.state_dict().items()}
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        torch.save(weights, stream)


def write_networks(gan: CycleGan, folder: Path, epoch: str | int = "latest") -> list[Path]:
    """Write all four networks; gives the files."""
    paths = [checkpoint_path(folder, name, epoch) for name in NETWORK_NAMES]
    for name, path in zip(NETWORK_NAMES, paths, strict=True):
        write_network(getattr(gan, name), path)
    return paths


def load_network(network: nn.Module, path: Path) -> None:
    """Load a checkpoint file into a network that it fits.

    Raises
    ------
    ModelUnavailableError
        If the file is missing, damaged, would execute code, or holds another network: one message
        that names both networks and what differs. The network is then as it was.
    """
    weights = _read(path)
    expected = network.state_dict()
    for name in instance_norms(network):
        for statistic in RUNNING:
            weights.pop(f"{name}.{statistic}", None)
    problems = _differences(weights, expected)
    if problems:
        raise ModelUnavailableError(
            f"{path} holds {describe(weights)} and the options ask for {describe(expected)}: "
            f"{'; '.join(problems)}",
            "set netG, netD, ngf, ndf, n_layers_D, norm and no_dropout as in its training, "
            "or name another file",
        )
    network.load_state_dict(weights)


def load_networks(gan: CycleGan, folder: Path, epoch: str | int = "latest") -> None:
    """Load all four networks of a training of the reference or of this project.

    Raises
    ------
    ModelUnavailableError
        See `load_network`.
    """
    for name in NETWORK_NAMES:
        load_network(getattr(gan, name), checkpoint_path(folder, name, epoch))


def load_generator(path: Path, *, setting: str = SETTING) -> Generator:
    """The generator of a checkpoint file, built as its keys and shapes tell; in evaluation mode.

    Raises
    ------
    ModelUnavailableError
        If the file cannot be read, or holds no generator that this project knows.
    """
    weights = _read(path, setting)
    options = recognise_generator(weights)
    if options is None:
        raise ModelUnavailableError(
            f"{path} holds no generator of a CycleGAN ({describe(weights)})",
            "point to a file such as latest_net_G_A.pth of an RGB resnet_6blocks, resnet_9blocks, "
            "unet_128 or unet_256",
        )
    generator = make_generator(options)
    load_network(generator, path)
    return generator.eval()


def _read(path: Path, setting: str = SETTING) -> dict[str, Any]:
    weights = read_weights(path, setting=setting)
    for wrapper in WRAPPERS:
        if weights and all(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): value for name, value in weights.items()}
    return weights


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    shared = [name for name in expected if name in found]
    return [
        f"{label} {_listed(names)}"
        for label, names in (
            ("missing", [name for name in expected if name not in found]),
            ("unknown", [name for name in found if name not in expected]),
            (
                "of another shape",
                [
                    f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
                    for name in shared
                    if found[name].shape != expected[name].shape
                ],
            ),
        )
        if names
    ]


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
