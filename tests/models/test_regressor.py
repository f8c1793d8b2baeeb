from __future__ import annotations

import json
import pickle
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.models.devices import Compute, ComputeOptions, resolve_compute
from tumor_ratio.models.folded_norms import with_folded_norms
from tumor_ratio.models.model_folder import load_regressor, read_card, write_model
from tumor_ratio.models.normalisation import (
    Normalisation,
    PatchNormalisation,
    measure_normalisation,
    normalisation_from_record,
    normalisation_to_record,
)
from tumor_ratio.models.patch_source import ArrayPatches
from tumor_ratio.models.predictor import Predictor
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.regressor_training import RegressorTraining
from tumor_ratio.models.training_options import AugmentationOptions, TrainingOptions

from .planted import half_planted_patches, planted_patches

PLAIN = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "training_patches")
FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)


def random_rgb(n: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def predictor(
    backbone: str = "test_resnet", side: int = 32, compute: ComputeOptions = FLOAT32
) -> Predictor:
    network = build_regressor(Architecture(backbone, side), BackboneOptions(), seed=0)
    settled = resolve_compute(compute)
    return Predictor(settled.place(network).eval(), PLAIN, settled)


# --- the network


@pytest.mark.parametrize(
    ("approach", "activation", "parameters"),
    [
        ("resnet18", torch.nn.ReLU, 11_439_681),
        ("vit_tiny", torch.nn.GELU, 5_595_521),
        ("levit_128s", torch.nn.GELU, 7_199_297),
    ],
)
def test_the_head_is_the_studys(approach, activation, parameters):
    architecture = architecture_of(approach, BackboneOptions(), HeadOptions(), 112)
    network = build_regressor(architecture, BackboneOptions(), seed=0)
    first, second, third, last = network.head
    assert first.out_features == last.in_features == 512
    assert isinstance(second, activation)
    assert third.p == 0.2
    assert last.out_features == 1
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.slow
def test_vit_b16_takes_a_training_step_and_predicts():
    architecture = architecture_of("vit_b16", BackboneOptions(), HeadOptions(), 224)
    network = build_regressor(architecture, BackboneOptions(), seed=0)
    assert sum(p.numel() for p in network.backbone.parameters()) == 85_798_656

    compute = resolve_compute(ComputeOptions(device="cpu"))
    patches = planted_patches(2, seed=0, side=224)
    trainable = RegressorTraining(
        network, patches, patches, PLAIN, LossOptions(), TrainingOptions(batch_size=2), compute
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = network.backbone.patch_embed.proj.weight.detach().clone()
    (batch,) = trainable.batches(np.random.default_rng(0))
    with compute.autocast():
        loss = trainable.training_step("regression", batch, torch.Generator().manual_seed(0))[
            "loss"
        ]
    loss.backward()
    optimizer.step()
    assert all(p.grad is not None for p in network.parameters())
    assert not torch.equal(before, network.backbone.patch_embed.proj.weight)

    ratios = Predictor(network, PLAIN, compute).predict_source(patches.source)
    assert ratios.shape == (2,)
    assert np.isfinite(ratios).all()


def test_a_name_means_its_architecture():
    with pytest.raises(
        ConfigurationError, match="'vit_b16' means the backbone 'vit_base_patch16_224'"
    ):
        architecture_of("vit_b16", BackboneOptions("vit_tiny_patch16_224"), HeadOptions(), 224)
    with pytest.raises(ConfigurationError, match=r"set `mine\.backbone\.name`"):
        architecture_of("mine", BackboneOptions(), HeadOptions(), 224)
    named = architecture_of("mine", BackboneOptions("resnet26"), HeadOptions(), 224)
    assert named.backbone == "resnet26"


def test_backbones_that_cannot_be_built_say_why():
    with pytest.raises(ConfigurationError, match="timm knows no backbone 'resnet1'"):
        build_regressor(Architecture("resnet1", 64), BackboneOptions(), seed=0)
    with pytest.raises(ConfigurationError, match="multiple of 16 px"):
        build_regressor(Architecture("vit_tiny_patch16_224", 100), BackboneOptions(), seed=0)


def test_a_bounded_network_stays_between_0_and_1_and_can_start_at_the_mean():
    rgb = random_rgb(4, 32)
    for bounded in (False, True):
        network = build_regressor(
            Architecture("test_resnet", 32, bounded=bounded), BackboneOptions(), seed=0
        )
        network.head[-1].weight.data.zero_()
        network.start_at(0.2)
        ratios = Predictor(network, PLAIN, Compute("cpu", False, 1)).predict(rgb)
        np.testing.assert_allclose(ratios, 0.2, atol=1e-6)
    network.head[-1].bias.data.fill_(50.0)
    assert (Predictor(network, PLAIN, Compute("cpu", False, 1)).predict(rgb) <= 1).all()


def test_building_leaves_the_processs_generator_alone():
    state = torch.get_rng_state()
    build_regressor(Architecture("test_resnet", 32), BackboneOptions(), seed=3)
    assert torch.equal(state, torch.get_rng_state())


def test_parts_are_answered_by_the_same_head():
    network = build_regressor(Architecture("resnet18", 128), BackboneOptions(), seed=0).eval()
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, parts = network.with_parts(images, 1)
        torch.testing.assert_close(whole, network(images))
        torch.testing.assert_close(parts[:, 0, 0], whole)
        quarters = network.with_parts(images, 2)[1]
        assert quarters.shape == (2, 2, 2)
        upper_right = network.backbone.forward_features(images)[:, :, :2, 2:].mean(dim=(2, 3))
        torch.testing.assert_close(quarters[:, 0, 1], network.head(upper_right).squeeze(1))
    tokens = build_regressor(Architecture("levit_128s", 64), BackboneOptions(), seed=0)
    with pytest.raises(ConfigurationError, match=r"set `loss\.parts: 0`"):
        tokens.eval().with_parts(torch.zeros(1, 3, 64, 64), 2)


def test_parts_teach_where_the_ratio_is_high():
    patches = half_planted_patches(48, seed=0)
    compute = resolve_compute(FLOAT32)
    network = build_regressor(Architecture("resnet18", 64, bounded=True), BackboneOptions(), seed=0)
    options = TrainingOptions(batch_size=16, augmentation=AugmentationOptions("dihedral"))
    loss = LossOptions(parts=2)
    trainable = RegressorTraining(network, patches, patches, PLAIN, loss, options, compute)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    generator, order = torch.Generator().manual_seed(0), np.random.default_rng(0)
    for _ in range(12):
        for batch in trainable.batches(order):
            optimizer.zero_grad()
            trainable.training_step("regression", batch, generator)["loss"].backward()
            optimizer.step()
    images = PLAIN.apply(compute.images(patches.source.read(np.arange(48))))
    with torch.no_grad():
        _, parts = network.with_parts(images, 2)
    red = torch.from_numpy(patches.parts.ratios) == 1
    assert parts[red].mean() > 0.8
    assert parts[~red].mean() < 0.2


# --- predicting


@pytest.mark.parametrize(("backbone", "side"), [("resnet18", 64), ("vit_tiny_patch16_224", 64)])
def test_answers_depend_on_neither_order_nor_batch_size_nor_threads(backbone, side):
    rgb = random_rgb(9, side)
    one = predictor(backbone, side)
    whole = one.predict(rgb, batch_size=9)
    order = np.random.default_rng(1).permutation(9)
    np.testing.assert_allclose(one.predict(rgb[order]), whole[order], atol=1e-6)
    np.testing.assert_allclose(one.predict(rgb, batch_size=2), whole, atol=1e-6)
    two = predictor(backbone, side, ComputeOptions("cpu", "float32", threads=2))
    np.testing.assert_allclose(two.predict(rgb, batch_size=4), whole, atol=1e-6)


def test_bf16_is_near_float32():
    rgb = random_rgb(8, 64)
    exact = predictor("resnet18", 64).predict(rgb)
    near = predictor("resnet18", 64, ComputeOptions("cpu", "bf16", threads=1)).predict(rgb)
    assert near.dtype == np.float32
    assert np.abs(near - exact).max() < 0.02


def test_patches_of_another_size_or_kind_are_refused():
    with pytest.raises(ValueError, match=r"takes \(N, 32, 32, 3\) uint8 patches"):
        predictor().predict(random_rgb(2, 48))
    with pytest.raises(ValueError, match="float32"):
        predictor().predict(random_rgb(2, 32).astype(np.float32))


def test_no_patches_give_no_ratios():
    assert predictor().predict(random_rgb(0, 32)).shape == (0,)


def test_normalisation_recovers_planted_colours():
    rng = np.random.default_rng(0)
    rgb = rng.normal([200, 120, 160], [10, 20, 15], (40, 24, 24, 3)).clip(0, 255)
    found = measure_normalisation(ArrayPatches(rgb.astype(np.uint8)))
    np.testing.assert_allclose(np.array(found.mean) * 255, [200, 120, 160], atol=1)
    np.testing.assert_allclose(np.array(found.std) * 255, [10, 20, 15], atol=1)
    flat = measure_normalisation(ArrayPatches(np.full((2, 8, 8, 3), 7, dtype=np.uint8)))
    assert min(flat.std) == pytest.approx(1 / 255)


def test_a_patchs_own_normalisation_takes_strength_and_hue_of_the_stain_out():
    rng = np.random.default_rng(0)
    density = torch.from_numpy(rng.uniform(0.1, 0.6, (2, 3, 16, 16)).astype(np.float32))
    strength = torch.tensor([0.8, 1.2, 1.5])[:, None, None]
    plain = PatchNormalisation().apply(255 * 10**-density)
    other = PatchNormalisation().apply(255 * 10 ** -(density * strength + 0.05))
    torch.testing.assert_close(plain.mean(dim=(2, 3)), torch.zeros(2, 3), rtol=0, atol=1e-5)
    spread = density.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(plain.std(dim=(2, 3), correction=0), spread / (spread + 0.02))
    assert (plain - other).abs().max() < 0.1  # the least spread alone tells them apart
    glass = PatchNormalisation().apply(torch.full((1, 3, 8, 8), 250.0))
    torch.testing.assert_close(glass, torch.zeros(1, 3, 8, 8), rtol=0, atol=1e-4)
    assert plain.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("normalisation", [PLAIN, PatchNormalisation(0.03)])
def test_a_normalisation_comes_back_from_its_card(normalisation):
    record = json.loads(json.dumps(normalisation_to_record(normalisation)))
    assert normalisation_from_record(record) == normalisation


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigurationError, match="no usable GPU; set `device: auto`"):
        resolve_compute(ComputeOptions(device="cuda"))
    assert resolve_compute(ComputeOptions()).device == "cpu"


# --- the model folder


def describe() -> dict:
    return {"approach": "mine", "mpp": 0.5, "label_method": "nucleus", "training_data": "phantom"}


def test_a_model_folder_gives_the_same_answers_back(tmp_path):
    original = predictor("resnet18", 64)
    card = write_model(tmp_path, original.network, original.normalisation, describe())
    assert card == read_card(tmp_path) == json.loads((tmp_path / "card.json").read_text())
    assert (card["patch_px"], card["architecture"]["backbone"]) == (64, "resnet18")
    again = load_regressor(tmp_path, FLOAT32)
    rgb = random_rgb(3, 64)
    np.testing.assert_allclose(again.predict(rgb), original.predict(rgb), atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "levit_128s"])
def test_a_copy_for_prediction_folds_its_norms_and_predicts_the_same(backbone):
    network = build_regressor(Architecture(backbone, 64), BackboneOptions(), seed=0).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as training leaves them
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    copied = network.for_prediction()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copied.modules())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(copied(images), network(images), atol=1e-5, rtol=1e-4)
    assert all(torch.equal(network.state_dict()[name], values) for name, values in before.items())


def test_a_norm_that_does_not_follow_its_convolution_is_left_alone():
    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3)
            self.twice = torch.nn.Conv2d(3, 3, 1)
            self.of_twice = torch.nn.BatchNorm2d(3)

        def forward(self, images):
            return (
                self.convolution(images)
                + self.norm(images)
                + self.of_twice(self.twice(self.twice(images)))
            )

    network, images = Branches().eval(), torch.randn(1, 3, 4, 4)
    copied = with_folded_norms(network, lambda each: each(images))
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in copied.modules()) == 2
    torch.testing.assert_close(copied(images), network(images))


def test_a_model_folder_that_is_not_whole_says_so(tmp_path):
    with pytest.raises(ModelUnavailableError, match=r"no finished model in .*train it again"):
        load_regressor(tmp_path)
    one = predictor()
    write_model(tmp_path, one.network, one.normalisation, describe())
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ModelUnavailableError, match="cannot be read as weights"):
        load_regressor(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match="do not fit"):
        load_regressor(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match="cannot be read"):
        load_regressor(tmp_path)


# --- weights from elsewhere


class Payload:
    """Would create a file, if it were ever unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("file", ["weights.pth", "model.safetensors"])
def test_weights_that_carry_code_are_refused_unexecuted(tmp_path, file):
    (tmp_path / file).write_bytes(pickle.dumps({"w": Payload(tmp_path / "executed")}))
    with pytest.raises(ModelUnavailableError, match="weights"):
        build_regressor(
            Architecture("test_resnet", 32),
            BackboneOptions(weights_path=str(tmp_path / file)),
            seed=0,
        )
    torch.save({"w": Payload(tmp_path / "executed")}, tmp_path / "zip.pth")
    with pytest.raises(ModelUnavailableError, match="could execute code; it was not loaded"):
        build_regressor(
            Architecture("test_resnet", 32),
            BackboneOptions(weights_path=str(tmp_path / "zip.pth")),
            seed=0,
        )
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", ["safetensors", "bare", "checkpoint", "own model"])
def test_local_weights_are_taken_in_every_usual_form(tmp_path, form):
    import timm

    donor = timm.create_model("test_resnet", num_classes=10)
    weights = donor.state_dict()
    path = tmp_path / ("w.safetensors" if form in ("safetensors", "own model") else "w.pth")
    if form == "safetensors":
        save_file(weights, path)
    elif form == "own model":
        own = build_regressor(Architecture("test_resnet", 32), BackboneOptions(), seed=9)
        weights = own.backbone.state_dict()
        save_file(own.state_dict(), path)
    else:
        torch.save(weights if form == "bare" else {"state_dict": weights, "epoch": 3}, path)
    network = build_regressor(
        Architecture("test_resnet", 32), BackboneOptions(weights_path=str(path)), seed=0
    )
    for name, value in network.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_transformers_position_embedding_is_resampled_to_the_patch_size(tmp_path):
    import timm

    donor = timm.create_model("vit_tiny_patch16_224", num_classes=5)
    save_file(donor.state_dict(), tmp_path / "w.safetensors")
    network = build_regressor(
        Architecture("vit_tiny_patch16_224", 64),
        BackboneOptions(weights_path=str(tmp_path / "w.safetensors")),
        seed=0,
    )
    assert network.backbone.pos_embed.shape[1] == 16 + 1
    assert torch.equal(network.backbone.blocks[3].mlp.fc1.weight, donor.blocks[3].mlp.fc1.weight)


def test_weights_of_another_architecture_are_listed(tmp_path):
    import timm

    save_file(timm.create_model("resnet18").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(ModelUnavailableError, match=r"missing \(.*unexpected \(.*of another shape"):
        build_regressor(
            Architecture("test_resnet", 32),
            BackboneOptions(weights_path=str(tmp_path / "w.safetensors")),
            seed=0,
        )
    with pytest.raises(ModelUnavailableError, match="there are no weights at"):
        build_regressor(
            Architecture("test_resnet", 32),
            BackboneOptions(weights_path=str(tmp_path / "none.pth")),
            seed=0,
        )


@pytest.fixture
def empty_hub(monkeypatch, tmp_path):
    """No weights in the cache; no network either."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *names, **options: None)
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *a, **k: pytest.fail("tried to download")
    )


@pytest.mark.parametrize("failure", ["refused", "hanging"])
def test_a_download_without_a_network_fails_at_once(empty_hub, monkeypatch, failure):
    def no_network(request, timeout):
        if failure == "hanging":
            time.sleep(30)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("tumor_ratio.models.pretrained.CONNECT_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ModelUnavailableError, match=r"is not reachable .*`backbone\.weights_path`"):
        build_regressor(Architecture("resnet18", 64), BackboneOptions(pretrained=True), seed=0)
    assert time.monotonic() - start < 5


def test_cached_weights_need_no_network(monkeypatch, tmp_path):
    import huggingface_hub
    import timm

    donor = timm.create_model("resnet18")
    save_file(donor.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(
        huggingface_hub,
        "try_to_load_from_cache",
        lambda repository, file, **options: (
            str(tmp_path / file) if file.endswith("safetensors") else None
        ),
    )
    network = build_regressor(
        Architecture("resnet18", 64), BackboneOptions(pretrained=True), seed=0
    )
    assert torch.equal(network.backbone.conv1.weight, donor.conv1.weight)


def test_two_sources_of_weights_are_refused():
    with pytest.raises(ValueError, match="not more"):
        BackboneOptions(pretrained=True, weights_path="w.pth")
