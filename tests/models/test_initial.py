"""Trainings that go on from an earlier model, and backbones that are trained in part."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.models.devices import Compute, ComputeOptions, resolve_compute
from tumor_ratio.models.model_folder import write_model
from tumor_ratio.models.normalisation import Normalisation, PatchNormalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_fit import fit_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.shipped import shipped_regressor
from tumor_ratio.models.starting_weights import go_on_from, start_of
from tumor_ratio.models.training_options import OptimizerOptions, TrainingOptions

from .planted import planted_patches

SIDE = 32
HEAD = HeadOptions(hidden=16, bounded=True)
FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)
CARD = {"approach": "earlier", "training_data": "phantom", "licence": "BSD-3-Clause"}


def architecture(**changes) -> Architecture:
    return Architecture(
        "test_resnet", **{"patch_px": SIDE, "hidden": 16, "bounded": True} | changes
    )


def fit(folder, backbone: BackboneOptions, initial=None, epochs=1, rate=1e-6):
    return fit_regressor(
        architecture_of("mine", backbone, HEAD, SIDE),
        backbone,
        HEAD,
        LossOptions("mse"),
        TrainingOptions(
            epochs=epochs,
            batch_size=16,
            optimizer=OptimizerOptions("adamw", learning_rate=rate),
            compute=FLOAT32,
        ),
        planted_patches(64, seed=1),
        planted_patches(16, seed=2, prefix="v"),
        folder,
        title="mine",
        initial=initial,
    )


@pytest.fixture
def earlier(tmp_path):
    """Folder of a model that answers something of its own, colours included."""
    network = build_regressor(architecture(), BackboneOptions(), seed=5).eval()
    colours = Normalisation((0.7, 0.5, 0.6), (0.2, 0.3, 0.25), "training_patches")
    write_model(tmp_path / "earlier", network, colours, CARD)
    return tmp_path / "earlier", network, colours


def test_a_training_goes_on_from_all_weights_and_colours(earlier, tmp_path):
    folder, network, colours = earlier
    backbone = BackboneOptions("test_resnet", initial=str(folder))
    predictor, _ = fit(tmp_path / "new", backbone, folder)
    assert predictor.normalisation == colours
    for name, value in predictor.network.named_parameters():  # the rate moves hardly anything
        assert torch.allclose(value, network.get_parameter(name), atol=1e-3), name
    other, _ = fit(tmp_path / "random", BackboneOptions("test_resnet"))
    assert not torch.allclose(other.network.head[0].weight, network.head[0].weight, atol=1e-3)


def test_weights_in_half_precision_serve(earlier, tmp_path):
    _, network, colours = earlier
    half = build_regressor(architecture(), BackboneOptions(), seed=5).half()
    write_model(tmp_path / "half", half, colours, CARD)
    started = build_regressor(architecture(), BackboneOptions(), seed=0)
    go_on_from(started, tmp_path / "half")
    weight = started.head[0].weight
    assert weight.dtype == torch.float32
    assert torch.allclose(weight, network.head[0].weight, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": 8}, "hidden is 16 there and 8 here"),
        ({"bounded": False}, "bounded is True there and False here"),
        ({"bins": (0.5,), "bounded": False}, r"bins is \(\) there and \(0.5,\) here"),
    ],
)
def test_another_network_is_refused(earlier, changes, message):
    network = build_regressor(architecture(**changes), BackboneOptions(), seed=0)
    with pytest.raises(ConfigurationError, match=message):
        go_on_from(network, earlier[0])


def test_positions_of_another_patch_size_are_refused(tmp_path):
    small, large = (Architecture("test_vit", side) for side in (32, 64))
    network = build_regressor(small, BackboneOptions(), seed=0)
    write_model(tmp_path / "small", network, PatchNormalisation(), CARD)
    with pytest.raises(ConfigurationError, match="do not fit patches of 64 px"):
        go_on_from(build_regressor(large, BackboneOptions(), seed=0), tmp_path / "small")


def test_a_folder_of_something_else_is_refused(tmp_path):
    network = build_regressor(architecture(), BackboneOptions(), seed=0)
    with pytest.raises(ModelUnavailableError, match="there is no finished model"):
        go_on_from(network, tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"approach": "cyclegan"}))
    with pytest.raises(ModelUnavailableError, match="describes no network of this project"):
        go_on_from(network, tmp_path)


def test_the_card_says_where_a_training_started(earlier):
    folder, _, colours = earlier
    start = start_of(architecture(), BackboneOptions(initial=str(folder)), {}, folder)
    assert start.normalisation == colours
    assert start.record["source"] == "model earlier"
    assert "phantom" in start.words
    packaged = start_of(
        Architecture("tf_efficientnet_lite0", 224), BackboneOptions(pretrained="packaged"), {}
    )
    assert packaged.record["licence"] == "Apache-2.0"
    assert "ImageNet" in packaged.record["trained_on"]
    assert start_of(architecture(), BackboneOptions(), {}).record == {}


def test_no_other_backbone_has_a_shipped_model():
    with pytest.raises(ModelUnavailableError, match="no model of 'test_resnet' comes with"):
        shipped_regressor("test_resnet")


def test_frozen_stages_keep_weights_and_statistics(earlier, tmp_path):
    folder, network, _ = earlier
    backbone = BackboneOptions("test_resnet", initial=str(folder), frozen_stages=2)
    predictor, _ = fit(tmp_path / "new", backbone, folder, rate=0.05)
    before, after = network.state_dict(), predictor.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    stem = ("backbone.conv1", "backbone.bn1", "backbone.layer1")
    assert not any(name.startswith(stem) for name in changed)
    assert any(name.startswith("backbone.layer2") for name in changed)
    assert any(name.startswith("head") for name in changed)


def test_more_frozen_stages_than_there_are_are_refused():
    network = build_regressor(architecture(), BackboneOptions(), seed=0)
    with pytest.raises(ConfigurationError, match=r"has 5 stages.*and 5 shall be frozen"):
        network.keep_stages(5, resolve_compute(FLOAT32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True, "initial": "shipped"}, "give one of"),
        ({"frozen_stages": 2}, "need `pretrained`"),
        ({"initial": "shipped", "frozen": True, "frozen_stages": 1}, "freezes all stages"),
        ({"initial": "shipped", "copies": 2}, "`copies` are of a frozen backbone"),
        ({"initial": "shipped", "frozen": True, "copies": 0}, "copies must be at least 1"),
        ({"initial": "shipped", "frozen_stages": -1}, "frozen_stages must be at least 0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        BackboneOptions(**options)


def test_answers_of_frozen_stages_do_not_depend_on_the_batch(earlier):
    network = build_regressor(architecture(), BackboneOptions(), seed=5)
    network.keep_stages(4, resolve_compute(FLOAT32))
    network.train()
    assert not network.backbone.layer1.training
    assert network.backbone.layer4.training
    images = torch.from_numpy(np.random.default_rng(0).random((2, 3, SIDE, SIDE), np.float32))
    stem = torch.nn.Sequential(network.backbone.conv1, network.backbone.bn1)
    assert torch.allclose(stem(images)[:1], stem(images[:1]), atol=1e-6)


def test_depthwise_convolutions_are_trained_in_float32_on_a_cpu():
    depthwise = torch.nn.Conv2d(4, 4, 3, groups=4)
    half = Compute("cpu", bf16=True, threads=1)
    assert half.for_training(torch.nn.Conv2d(4, 4, 3)).bf16
    assert not half.for_training(torch.nn.Sequential(depthwise)).bf16
    assert Compute("cuda", bf16=True, threads=1).for_training(depthwise).bf16
    assert not Compute("cpu", bf16=False, threads=1).for_training(depthwise).bf16


def test_frozen_stages_compute_in_bf16_beside_a_training_in_float32():
    half = Compute("cpu", bf16=True, threads=1)
    network = build_regressor(architecture(), BackboneOptions(), seed=5).train()
    images = torch.rand(2, 3, SIDE, SIDE)
    network.eval()
    with torch.no_grad():
        exact = network(images)
    network.keep_stages(4, half)
    network.train()
    network.backbone.layer4.eval()
    found = network(images)
    assert found.dtype == torch.float32
    assert torch.allclose(found, exact, atol=0.02)
    assert not torch.equal(found, exact)
    found.sum().backward()
    assert network.backbone.layer4[0].conv1.weight.grad is not None
    assert network.backbone.layer1[0].conv1.weight.grad is None
