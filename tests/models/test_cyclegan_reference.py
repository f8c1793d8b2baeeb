"""Against the PyTorch reference implementation's own keys, shapes, outputs, losses and rates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tumor_ratio.models.cyclegan.checkpoint_files import load_generator, load_network
from tumor_ratio.models.cyclegan.gan_losses import gan_loss
from tumor_ratio.models.cyclegan.learning_rate import learning_rate_share
from tumor_ratio.models.cyclegan.networks import make_discriminator, make_generator
from tumor_ratio.models.cyclegan.options import CycleGanOptions, NetworkOptions

pytestmark = pytest.mark.real


@pytest.fixture
def folder(real_data: Path) -> Path:
    return real_data / "cyclegan_reference"


@pytest.fixture
def reference(folder: Path) -> dict:
    return json.loads((folder / "reference.json").read_text())


@pytest.fixture
def image(folder: Path) -> torch.Tensor:
    rgb = np.array(Image.open(folder / "input_HE_128.png").convert("RGB"))
    return torch.from_numpy(rgb.transpose(2, 0, 1)[None]).float() / 255 * 2 - 1


@pytest.mark.parametrize(
    ("name", "make", "options"),
    [
        ("G_resnet_9blocks_ngf64", make_generator, NetworkOptions()),
        ("G_resnet_6blocks_ngf64", make_generator, NetworkOptions(netG="resnet_6blocks")),
        ("D_basic_ndf64", make_discriminator, NetworkOptions()),
    ],
)
def test_keys_shapes_and_their_order(reference, name, make, options):
    expected = reference["key_manifest"][name]
    network = make(options)
    found = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert found == expected["state_dict"]
    assert list(found) == list(expected["state_dict"])
    assert sum(p.numel() for p in network.parameters()) == expected["parameters"]


def test_a_generator_s_checkpoint_gives_the_reference_s_translation(folder, image):
    generator = load_generator(folder / "latest_net_G_A.pth")
    with torch.no_grad():
        found = generator(image).numpy()
    np.testing.assert_allclose(found, np.load(folder / "expected_G_A.npy"), atol=1e-5, rtol=0)


def test_a_discriminator_s_checkpoint_gives_the_reference_s_verdicts(folder, image):
    discriminator = make_discriminator(NetworkOptions(ndf=8)).eval()
    load_network(discriminator, folder / "latest_net_D_A.pth")
    with torch.no_grad():
        found = discriminator(image).numpy()
    np.testing.assert_allclose(found, np.load(folder / "expected_D_A.npy"), atol=1e-5, rtol=0)


def test_lsgan_losses(reference):
    name = "GANLoss_lsgan(linspace(-1,2,30).reshape(1,1,5,6))"
    expected = reference["fixtures"][name]
    verdict = torch.linspace(-1, 2, 30).reshape(1, 1, 5, 6)
    for which in ("real", "fake"):
        found = gan_loss(verdict, real=which == "real", mode="lsgan").item()
        assert found == pytest.approx(expected[which], abs=1e-6)


def test_learning_rates(reference):
    options = CycleGanOptions()
    found = [options.lr * learning_rate_share(options, epoch) for epoch in range(1, 201)]
    assert found == reference["fixtures"]["linear_lr_epoch_1..200"]
