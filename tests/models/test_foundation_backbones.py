"""Small networks with the layouts of pathology's foundation models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import huggingface_hub
import pytest
import torch
from omegaconf import OmegaConf
from pydantic import ValidationError
from safetensors.torch import save_file

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.errors import ConfigurationError, ModelUnavailableError
from tumor_ratio.models.backbones import create_backbone
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.model_folder import load_regressor, read_card, write_model
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.regressor import RatioRegressor, build_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
)
from tumor_ratio.models.starting_weights import start_of
from tumor_ratio.pipelines.regression.params import RegressionParams

SIDE = 64
UNI = {"init_values": 1e-5, "dynamic_img_size": True}
VIRCHOW2 = {
    "init_values": 1e-5,
    "reg_tokens": 4,
    "mlp_ratio": 5.25,
    "mlp_layer": "SwiGLUPacked",
    "act_layer": "SiLU",
    "dynamic_img_size": True,
}
UNI2 = {
    **VIRCHOW2,
    "reg_tokens": 8,
    "no_embed_class": True,
    "depth": 3,
    "embed_dim": 48,
    "num_heads": 4,
    "patch_size": 8,
    "mlp_ratio": 2.66667 * 2,
}
DESCRIPTION = {"approach": "foundation", "mpp": 0.5, "label_method": "nucleus", "stamps": []}


def donor_of(arguments: dict) -> torch.nn.Module:
    """A network whose every weight is drawn, so that none is where it starts by default."""
    donor = create_backbone("test_vit", SIDE, setting="name", arguments=arguments).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in donor.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return donor


def regressor(arguments: dict, **options) -> RatioRegressor:
    backbone = BackboneOptions("test_vit", arguments, **options)
    architecture = architecture_of("foundation", backbone, HeadOptions(), SIDE)
    return build_regressor(architecture, backbone, seed=0).eval()


def images() -> torch.Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_same(network: RatioRegressor, donor: torch.nn.Module) -> None:
    torch.testing.assert_close(network.features(images()), donor(images()))


@pytest.mark.parametrize("arguments", [UNI, VIRCHOW2, UNI2], ids=["UNI", "Virchow2", "UNI2-h"])
def test_weights_of_a_described_layout_give_its_features(tmp_path, arguments):
    donor = donor_of(arguments)
    torch.save(donor.state_dict(), tmp_path / "pytorch_model.bin")
    assert_same(regressor(arguments, weights_path=str(tmp_path / "pytorch_model.bin")), donor)


def test_features_follow_global_pool(tmp_path):
    donor = donor_of(UNI | {"reg_tokens": 4})
    save_file(donor.state_dict(), tmp_path / "w.safetensors")
    pooled = UNI | {"reg_tokens": 4, "global_pool": "avg", "fc_norm": False}
    network = regressor(pooled, weights_path=str(tmp_path / "w.safetensors"))
    with torch.no_grad():
        tokens = donor.forward_features(images())
        torch.testing.assert_close(network.features(images()), tokens[:, 5:].mean(dim=1))
    with pytest.raises(ConfigurationError, match=r"not in one vector; .*`global_pool`"):
        regressor(UNI | {"global_pool": ""})


def dino_layout(donor: torch.nn.Module) -> dict[str, torch.Tensor]:
    """DINOv2's names of a network with register tokens and SwiGLU."""
    weights = dict(donor.state_dict())
    place = torch.randn(1, 1, weights["cls_token"].shape[-1])
    weights["cls_token"] = weights["cls_token"] - place
    weights["pos_embed"] = torch.cat([place, weights["pos_embed"]], dim=1)
    weights["register_tokens"] = weights.pop("reg_token")
    weights["mask_token"] = torch.zeros_like(place[0])
    return {
        k.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): weights[k] for k in weights
    }


def nested(weights: dict[str, torch.Tensor], form: str) -> dict:
    """As trainings by self-distillation save a network: the student is another one."""
    head = {"head.mlp.0.weight": torch.ones(3)}
    teacher = {f"backbone.{key}": value for key, value in weights.items()} | head
    student = {f"module.{key}": torch.zeros_like(value) for key, value in teacher.items()}
    match form:
        case "DINO":
            return {"student": student, "teacher": teacher, "epoch": 3}
        case "DINOv2":
            flat = {f"student.{key}": value for key, value in student.items()}
            return {"model": {f"teacher.{key}": value for key, value in teacher.items()} | flat}
        case "iBOT's student":
            module = {f"module.{key}": value for key, value in teacher.items()}
            return {"student": module | {"module.backbone.masked_embed": torch.zeros(1, 64)}}
    return {"state_dict": {f"model.{key}": value for key, value in weights.items()}}


@pytest.mark.parametrize("form", ["DINO", "DINOv2", "iBOT's student", "Lightning"])
def test_what_trainings_wrap_around_a_network_is_taken_off(tmp_path, form):
    donor = donor_of({"init_values": 1e-5})
    torch.save(nested(donor.state_dict(), form), tmp_path / "checkpoint.pth")
    network = regressor({"init_values": 1e-5}, weights_path=str(tmp_path / "checkpoint.pth"))
    assert_same(network, donor)


def test_dinos_own_names_are_converted(tmp_path):
    arguments = VIRCHOW2 | {"no_embed_class": True}
    donor = donor_of(arguments)
    torch.save(nested(dino_layout(donor), "DINOv2"), tmp_path / "teacher.pth")
    assert_same(regressor(arguments, weights_path=str(tmp_path / "teacher.pth")), donor)


def test_weights_that_do_not_fit_say_so_in_one_line(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(donor_of(UNI).state_dict(), path)
    with pytest.raises(
        ModelUnavailableError, match=r"ls1\.gamma.*describe .*`backbone\.arguments`"
    ):
        regressor({}, weights_path=str(path))
    save_file({"pos_embed": torch.zeros(3), "cls_token": torch.zeros(1)}, path)
    with pytest.raises(ModelUnavailableError, match="timm cannot convert them") as caught:
        regressor({}, weights_path=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init_valeus": 1e-5}, "init_valeus"),
        ({"embed_dim": 50, "num_heads": 7}, "embed_dim, num_heads"),
        ({"depth": "many"}, "depth"),
        ({"patch_size": 0}, "patch_size"),
    ],
)
def test_arguments_that_timm_cannot_take_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=rf"{message}.*`backbone\.arguments`") as caught:
        regressor(arguments)
    assert "\n" not in str(caught.value)


def test_a_convolutional_backbone_takes_arguments_too():
    backbone = BackboneOptions("test_resnet", {"output_stride": 16})
    architecture = architecture_of("foundation", backbone, HeadOptions(), SIDE)
    assert build_regressor(architecture, backbone, seed=0).backbone is not None
    with pytest.raises(ConfigurationError, match=r"reg_tokens.*`backbone\.arguments`"):
        RatioRegressor(Architecture("test_resnet", SIDE, arguments={"reg_tokens": 4}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoint_path": "/tmp/evil.pth"}, "checkpoint_path cannot be set here"),
        ({"pretrained_cfg": "evil"}, "pretrained_cfg cannot be set here"),
        ({"num_classes": 3}, "num_classes cannot be set here"),
        ({"mlp_layer": "os.system"}, "mlp_layer is one of Mlp, .*SwiGLUPacked"),
        ({"act_layer": ["SiLU"]}, "act_layer is one of"),
        ({"norm_layer": {"class": "torch.nn.LayerNorm"}}, "norm_layer is a dict"),
        ({"a b": 1}, "no name of an argument"),
    ],
)
def test_only_plain_arguments_are_taken(arguments, message):
    with pytest.raises(ValueError, match=message):
        BackboneOptions("test_vit", arguments)
    with pytest.raises(ValidationError, match=message):
        RegressionParams(backbone={"name": "test_vit", "arguments": arguments})


def test_arguments_come_from_a_configuration():
    text = "{name: test_vit, arguments: {init_values: 1e-5, mlp_layer: SwiGLUPacked, depth: 2}}"
    params = RegressionParams(backbone=OmegaConf.to_container(OmegaConf.create(text)))
    assert params.backbone.arguments["init_values"] == 1e-5
    architecture = architecture_of("foundation", params.backbone, params.head, SIDE)
    assert len(RatioRegressor(architecture).backbone.blocks) == 2


def test_the_documented_blocks_have_the_published_sizes():
    text = (Path(__file__).parents[2] / "docs" / "regression.md").read_text()
    block = re.search(r"```yaml\n(uni:\n.*?)```", text, re.DOTALL)
    assert block is not None
    sizes = {}
    for name, values in OmegaConf.to_container(OmegaConf.create(block[1])).items():
        backbone = RegressionParams(**values).backbone
        with torch.device("meta"):  # no memory is taken
            network = create_backbone(
                backbone.name, 224, setting="name", arguments=backbone.arguments
            )
        millions = round(sum(weight.numel() for weight in network.parameters()) / 1e6)
        sizes[name] = (network.num_features, millions)
    assert sizes == {  # as their repositories say
        "uni": (1024, 303),
        "uni2_h": (1536, 681),
        "virchow2": (1280, 631),
        "h_optimus_0": (1536, 1135),
        "phikon": (768, 86),
    }


def test_a_model_folder_rebuilds_the_network(tmp_path):
    network = regressor(UNI2)
    write_model(tmp_path, network, PatchNormalisation(), DESCRIPTION)
    assert read_card(tmp_path)["architecture"]["arguments"] == UNI2
    assert_same(load_regressor(tmp_path, ComputeOptions(device="cpu")).network, network.backbone)


def test_a_card_without_arguments_is_an_earlier_models(tmp_path):
    write_model(tmp_path, regressor({}), PatchNormalisation(), DESCRIPTION)
    card = read_card(tmp_path)
    del card["architecture"]["arguments"]
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert load_regressor(tmp_path).network.architecture.arguments == {}
    card["architecture"]["arguments"] = {"checkpoint_path": str(tmp_path / "evil.pth")}
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(ModelUnavailableError, match="checkpoint_path cannot be set here"):
        load_regressor(tmp_path)


def test_colours_of_given_weights_can_be_told(tmp_path):
    save_file(donor_of({}).state_dict(), tmp_path / "w.safetensors")
    colours = {"mean": (0.7, 0.6, 0.7), "std": (0.2, 0.2, 0.1)}
    given = BackboneOptions("test_vit", weights_path=str(tmp_path / "w.safetensors"), **colours)
    start = start_of(Architecture("test_vit", SIDE), given, {"mean": (0.5,) * 3, "std": (0.5,) * 3})
    assert start.normalisation is not None
    assert (start.normalisation.mean, start.normalisation.std) == tuple(colours.values())
    for wrong in ({"mean": (0.7, 0.6, 0.7)}, {**colours, "std": (0.2, 0.2, 0)}):
        with pytest.raises(ValueError, match="`mean` and `std` are three numbers"):
            BackboneOptions("test_vit", weights_path="w", **wrong)
    with pytest.raises(ValueError, match="`mean` and `std` go with `weights_path`"):
        BackboneOptions("test_vit", **colours)


# --- the hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A repository in the hub's cache; whoever asks the network fails."""
    folder = tmp_path / "hub"
    folder.mkdir()
    asked = []

    def cached(repository: str, file: str, revision: str | None = None) -> str | None:
        asked.append((repository, revision))
        return str(folder / file) if (folder / file).is_file() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: True)
    return folder, asked


HUB_CARD = {
    "architecture": "test_vit",
    "num_features": 64,
    "model_args": {"img_size": 160, "init_values": 1e-5, "num_classes": 0, "reg_tokens": 4},
    "pretrained_cfg": {
        "tag": "vitl16",
        "mean": [0.7, 0.6, 0.7],
        "std": [0.2, 0.3, 0.2],
        "license": "cc-by-nc-nd-4.0",
        "num_classes": 0,
    },
}
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}


def hub_regressor(arguments: dict, **options) -> RatioRegressor:
    backbone = BackboneOptions("hf-hub:lab/model@v2", arguments, **options)
    architecture = architecture_of("foundation", backbone, HeadOptions(), SIDE)
    return build_regressor(architecture, backbone, seed=0).eval()


def test_a_repository_describes_network_weights_and_colours(hub, monkeypatch, tmp_path):
    folder, asked = hub
    donor = donor_of({"init_values": 1e-5, "reg_tokens": 4, **SWIGLU})
    (folder / "config.json").write_text(json.dumps(HUB_CARD))
    torch.save(donor.state_dict(), folder / "pytorch_model.bin")
    network = hub_regressor(SWIGLU, pretrained=True)
    assert_same(network, donor)
    assert set(asked) == {("lab/model", "v2")}
    options = BackboneOptions("hf-hub:lab/model@v2", pretrained=True)
    start = start_of(network.architecture, options, network.backbone.pretrained_cfg)
    assert start.normalisation is not None
    assert start.normalisation.mean == (0.7, 0.6, 0.7)
    assert start.words == "hf-hub:lab/model@v2"
    assert start.record["licence"] == "cc-by-nc-nd-4.0"

    write_model(tmp_path / "model", network, PatchNormalisation(), DESCRIPTION)
    card = read_card(tmp_path / "model")["architecture"]
    assert card["backbone"] == "test_vit"
    assert card["arguments"] == {"init_values": 1e-5, "reg_tokens": 4, **SWIGLU}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *a, **k: pytest.fail("asked the hub")
    )
    assert_same(load_regressor(tmp_path / "model", ComputeOptions(device="cpu")).network, donor)


def test_without_a_network_a_repository_is_refused_at_once(hub):
    with pytest.raises(
        ModelUnavailableError, match=r"HF_HUB_OFFLINE is set; .*`backbone\.weights_path`"
    ) as caught:
        hub_regressor({}, pretrained=True)
    assert "`backbone.arguments`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "description",
    [
        "{}",
        "[1]",
        "not json",
        '{"architecture": "test_vit", "model_args": {"checkpoint_path": "x"}}',
    ],
)
def test_a_description_that_is_not_timms_is_refused(hub, description):
    folder, _ = hub
    (folder / "config.json").write_text(description)
    with pytest.raises(ModelUnavailableError, match=r"is not one of timm's"):
        hub_regressor({})
