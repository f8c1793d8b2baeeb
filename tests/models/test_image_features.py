"""Features of patches by a small network of random weights in a local file."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.models.devices import Compute
from tumor_ratio.models.image_features import load_feature_network
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.torchvision_shim import ensure_torchvision

NAME = "test_resnet"
BILINEAR = Image.Resampling.BILINEAR
CPU = Compute("cpu", False, 1)


def timm_model(name=NAME, **options):
    ensure_torchvision()
    import timm

    torch.manual_seed(7)
    return timm.create_model(name, pretrained=False, **options).eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm_model(num_classes=10).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    return load_feature_network(NAME, weights, CPU, group="cyclegan.kid")


def patches(n, side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_features_are_those_of_the_files_network(network):
    """Without its classifier, on images centred and scaled as timm says."""
    donor = timm_model(num_classes=10)
    rgb = patches(3, network.side_px)
    assert network.side_px == donor.pretrained_cfg["input_size"][-1]
    mean, std = (
        torch.tensor(donor.pretrained_cfg[name])[:, None, None] for name in ("mean", "std")
    )
    images = (torch.from_numpy(rgb).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.no_grad():
        expected = donor.forward_head(donor.forward_features(images), pre_logits=True).numpy()
    found = network.features(ArrayPatches(rgb))
    assert found.dtype == np.float32
    assert np.allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_batches_change_nothing_and_order_is_kept(network):
    rgb = patches(5, 32)
    whole = network.features(ArrayPatches(rgb), batch_size=5)
    assert whole.shape[0] == 5
    assert np.allclose(network.features(ArrayPatches(rgb), batch_size=2), whole, atol=1e-5)
    assert np.allclose(network.features(ArrayPatches(rgb[::-1])), whole[::-1], atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_patches_are_resized_to_what_the_weights_know(network):
    """As Pillow does it, with antialiasing: a plain sample of the pixels gives other features."""
    side = network.side_px
    large = patches(2, 3 * side)
    resized = [np.asarray(Image.fromarray(rgb).resize((side, side), BILINEAR)) for rgb in large]
    found, expected, sampled = (
        network.features(ArrayPatches(rgb))
        for rgb in (large, np.stack(resized), large[:, 1::3, 1::3])
    )
    assert np.abs(found - expected).max() < 0.05 * np.abs(sampled - expected).max()


def test_loading_draws_from_no_random_generator(weights):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    load_feature_network(NAME, weights, CPU, group="kid")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_auxiliary_classifiers_are_left_out(tmp_path):
    """The published weights of Inception v3 hold them."""
    weights = timm_model("inception_v3", num_classes=0).state_dict()
    extra = {"fc.weight": torch.zeros(1000, 2048), "AuxLogits.fc.weight": torch.zeros(1000, 768)}
    save_file({**weights, **extra}, tmp_path / "w.safetensors")
    found = load_feature_network("inception_v3", tmp_path / "w.safetensors", CPU, group="kid")
    assert found.side_px == 299
    assert found.features(ArrayPatches(patches(1, 64))).shape == (1, 2048)


def test_what_cannot_be_had_is_said_with_its_setting(tmp_path, weights):
    with pytest.raises(ConfigurationError, match=r"no backbone 'incept'; set `cyclegan\.kid\.netw"):
        load_feature_network("incept", weights, CPU, group="cyclegan.kid")
    with pytest.raises(
        ModelUnavailableError, match=r"no weights at .*`cyclegan\.kid\.weights_path`"
    ):
        load_feature_network(NAME, tmp_path / "none.pth", CPU, group="cyclegan.kid")
    with pytest.raises(
        ModelUnavailableError, match=r"missing \(.*`cyclegan\.kid\.weights_path` at"
    ):
        load_feature_network("resnet18", weights, CPU, group="cyclegan.kid")
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"w": print}))
    with pytest.raises(
        ModelUnavailableError, match=r"could execute code.*cyclegan\.kid\.weights_path"
    ):
        load_feature_network(NAME, tmp_path / "code.pth", CPU, group="cyclegan.kid")


def test_patches_that_are_none_are_refused(network):
    with pytest.raises(ValueError, match="there are no patches"):
        network.features(ArrayPatches(patches(0, 8)))
    for rgb in (patches(2, 8)[:, :4], patches(2, 8)[..., :1], patches(2, 8) / 255):
        with pytest.raises(ValueError, match=r"\(N, side, side, 3\) uint8"):
            network.features(ArrayPatches(rgb))
