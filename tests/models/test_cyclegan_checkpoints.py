from __future__ import annotations

import os
import re

import numpy as np
import pytest
import torch

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models.cyclegan.checkpoint_files import (
    checkpoint_path,
    load_generator,
    load_network,
    load_networks,
    write_network,
    write_networks,
)
from tumor_ratio.models.cyclegan.networks import CycleGan, make_discriminator, make_generator
from tumor_ratio.models.cyclegan.options import NetworkOptions

SMALL = NetworkOptions(netG="resnet_6blocks", ngf=4, ndf=4)


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_training_s_files_come_back_and_are_bare_state_dicts(tmp_path):
    gan, other = CycleGan(SMALL, seed=1), CycleGan(SMALL, seed=2)
    gan.to(memory_format=torch.channels_last)
    paths = write_networks(gan, tmp_path, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "7_net_D_A.pth",
        "7_net_D_B.pth",
        "7_net_G_A.pth",
        "7_net_G_B.pth",
    ]
    content = torch.load(paths[0], weights_only=True)
    assert list(content) == list(gan.G_A.state_dict())
    assert all(value.is_contiguous() for value in content.values())
    load_networks(other, tmp_path, 7)
    assert equal(gan, other)
    assert equal(load_generator(paths[0]), gan.G_A)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_networks_load(tmp_path, prefix):
    generator = make_generator(SMALL)
    wrapped = {prefix + name: value for name, value in generator.state_dict().items()}
    torch.save(wrapped, tmp_path / "latest_net_G.pth")
    assert equal(load_generator(tmp_path / "latest_net_G.pth"), generator)


def test_running_statistics_of_old_instance_norms_are_dropped(tmp_path):
    generator = make_generator(SMALL)
    old = dict(generator.state_dict())
    for name in ("model.2", "model.10.conv_block.2", "model.10.conv_block.6"):
        old[f"{name}.running_mean"] = torch.zeros(4)
        old[f"{name}.running_var"] = torch.ones(4)
        old[f"{name}.num_batches_tracked"] = torch.tensor(3)
    torch.save(old, tmp_path / "200_net_G_A.pth")
    assert equal(load_generator(tmp_path / "200_net_G_A.pth"), generator)


class Malicious:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_checkpoint_that_would_execute_code_is_refused(tmp_path):
    path, trace = tmp_path / "latest_net_G_A.pth", tmp_path / "executed"
    torch.save({**make_generator(SMALL).state_dict(), "x": Malicious(trace)}, path)
    with pytest.raises(ModelUnavailableError, match="could execute code; it was not loaded"):
        load_generator(path)
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_a_truncated_checkpoint_says_so(tmp_path, kept):
    path = tmp_path / "latest_net_G_A.pth"
    write_network(make_generator(SMALL), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelUnavailableError, match=re.escape(str(path))):
        load_generator(path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ModelUnavailableError, match=r"no weights at .*latest_net_G_A\.pth; point"):
        load_networks(CycleGan(SMALL, seed=0), tmp_path)


def without(weights, name):
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "model.19.bias"), "missing model.19.bias"),
        (lambda w: {**w, "model.99.weight": torch.ones(1)}, "unknown model.99.weight"),
        (
            lambda w: {**w, "model.4.weight": torch.ones(8, 4, 5, 5)},
            r"of another shape model.4.weight \(8, 4, 5, 5\) instead of \(8, 4, 3, 3\)",
        ),
        (
            lambda w: make_generator(NetworkOptions(ngf=8)).state_dict(),
            "holds a generator resnet_9blocks with 8 filters, norm instance and the options ask "
            "for a generator resnet_6blocks with 4 filters, norm instance",
        ),
        (
            lambda w: make_discriminator(SMALL).state_dict(),
            "holds a discriminator basic with 4 filters",
        ),
        (lambda w: {"fc.weight": torch.ones(3)}, r"holds no CycleGAN network .* and \d+ more"),
    ],
    ids=["missing", "unknown", "shape", "other generator", "discriminator", "foreign"],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing_and_says_what_differs(
    tmp_path, change, message
):
    generator = make_generator(SMALL)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    torch.save(dict(change(before)), tmp_path / "latest_net_G_A.pth")
    with pytest.raises(ModelUnavailableError, match=message):
        load_network(generator, tmp_path / "latest_net_G_A.pth")
    assert all(torch.equal(before[name], v) for name, v in generator.state_dict().items())


def test_what_is_no_generator_is_not_loaded_as_one(tmp_path):
    path = checkpoint_path(tmp_path, "D_A")
    write_network(make_discriminator(SMALL), path)
    with pytest.raises(ModelUnavailableError, match=r"no generator .*\(a discriminator basic"):
        load_generator(path)
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(ModelUnavailableError, match=r"cannot be read as weights|could execute"):
        load_generator(tmp_path / "array.npy")
