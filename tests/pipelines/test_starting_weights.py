"""Trained networks as folders that ship: half precision, their origin, nothing but development."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from tumor_ratio.datasets.trainings import ModelRef
from tumor_ratio.errors import ConfigurationError
from tumor_ratio.models.cyclegan.checkpoint_files import load_networks, write_networks
from tumor_ratio.models.cyclegan.networks import CycleGan
from tumor_ratio.models.cyclegan.options import NetworkOptions
from tumor_ratio.models.model_folder import read_card, write_model
from tumor_ratio.models.normalisation import PatchNormalisation
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import Architecture, BackboneOptions
from tumor_ratio.models.shipped import CYCLEGAN, REGRESSORS, WEIGHTS
from tumor_ratio.models.starting_weights import go_on_from
from tumor_ratio.pipelines.gan_translation.nodes import given_networks
from tumor_ratio.pipelines.gan_translation.params import CycleGanParams
from tumor_ratio.pipelines.gan_translation.training_step import _supervision
from tumor_ratio.pipelines.starting_weights import nodes

PLAN = {"pairs": [{"family": "development", "seed": 7}] * 3}
CARD = {
    "approach": "resnet18",
    "training_data": "phantom",
    "stamps": ["stamp"],
    "slides": {"train": ["a", "b"], "validation": ["c"]},
    "mlflow_run_id": "0" * 32,
    "fingerprint": "f" * 64,
}


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return nodes.StartingWeightsParams(folder="weights")


def test_a_regressor_ships_in_half_and_starts_another(tmp_path, params):
    architecture = Architecture("resnet18", 64, hidden=8)
    network = build_regressor(architecture, BackboneOptions(), seed=3)
    card = write_model(tmp_path / "model", network, PatchNormalisation(), CARD)
    model = ModelRef(tmp_path / "model", card)
    shipped = nodes.ship_regressor({"fold_1": model}, PLAN, params)
    folder = tmp_path / "weights" / REGRESSORS["resnet18"]
    assert read_card(folder) == json.loads(json.dumps(shipped))
    assert shipped["trained_on"] == "3 synthetic development pairs"
    assert shipped["slides"] == {"train": 2, "validation": 1}
    assert {"fingerprint", "mlflow_run_id"}.isdisjoint(shipped)
    size = (folder / "model.safetensors").stat().st_size
    assert size < 0.51 * (tmp_path / "model/model.safetensors").stat().st_size
    again = build_regressor(architecture, BackboneOptions(), seed=0)
    go_on_from(again, folder)
    for name, value in network.state_dict().items():
        assert torch.allclose(again.state_dict()[name].float(), value.float(), atol=2e-3), name


def test_a_cyclegan_ships_all_four_networks(tmp_path, params):
    options = NetworkOptions(netG="resnet_6blocks", ngf=4, ndf=4)
    write_networks(CycleGan(options, seed=0), tmp_path / "model")
    model = ModelRef(tmp_path / "model", {**CARD, "approach": "cyclegan"})
    nodes.ship_cyclegan(model, PLAN, params)
    load_networks(CycleGan(options, seed=1), tmp_path / "weights" / CYCLEGAN)


@pytest.mark.parametrize("pairs", [[], [{"family": "final"}], [{"family": "development"}, {}]])
def test_only_development_phantoms_make_starting_weights(tmp_path, params, pairs):
    with pytest.raises(ConfigurationError, match="development family alone"):
        nodes.ship_cyclegan(ModelRef(tmp_path, CARD), {"pairs": pairs}, params)
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(("name", "most_mb"), [(REGRESSORS["resnet18"], 23), (CYCLEGAN, 5)])
def test_what_ships_is_small_and_says_where_it_comes_from(name, most_mb):
    folder = WEIGHTS / name
    card = read_card(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= most_mb * 1e6
    assert "development" in card["trained_on"]
    assert card["training_data"] == "phantom"
    assert card["licence"] == "BSD-3-Clause"
    assert "--env=pretraining" in card["command"]


def test_a_plain_runs_cyclegan_goes_on_from_what_ships_and_says_so():
    path = Path(__file__).parents[2] / "conf" / "base" / "parameters_gan_translation.yml"
    configured = yaml.safe_load(path.read_text())["cyclegan"]
    assert configured["initial"] == "shipped"
    params = CycleGanParams(folder="virtual", initial="shipped", gan=configured["gan"])
    given = given_networks(params)
    assert given.data == "phantom"
    load_networks(CycleGan(params.gan.networks, seed=0), given.folder)
    learned = _supervision(128, params.learning(), given)
    assert learned.startswith("64 synthetic development pairs, then 128 squares of both stains")


def test_networks_without_a_card_are_called_given(tmp_path):
    params = CycleGanParams(folder="virtual", initial=str(tmp_path), given_data="real")
    learned = _supervision(5, params.learning(), given_networks(params))
    assert learned.startswith("given networks (real), then 5 unpaired squares")
