"""A head trained on the features of a frozen backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tumor_ratio.approaches.network import architecture_of
from tumor_ratio.models.devices import ComputeOptions
from tumor_ratio.models.ensemble_fit import fit_ensemble
from tumor_ratio.models.patch_source import ArrayPatches, LabelledPatches
from tumor_ratio.models.regressor import build_regressor
from tumor_ratio.models.regressor_options import (
    Architecture,
    BackboneOptions,
    HeadOptions,
    LossOptions,
)
from tumor_ratio.models.training_options import (
    AugmentationOptions,
    OptimizerOptions,
    TrainingOptions,
)

from .planted import planted_patches

FLOAT32 = ComputeOptions(device="cpu", precision="float32", threads=1)


class KilledError(Exception):
    """Stands for `kill -9`: nothing in the loop handles it."""


class Counting(ArrayPatches):
    """Counts how many patches are read."""

    read_so_far: list[int] = []  # noqa: RUF012 - emptied by each test

    def read(self, indices):
        self.read_so_far.append(len(indices))
        return super().read(indices)


@pytest.fixture
def weights(tmp_path) -> Path:
    """Random weights of a backbone, as a local file."""
    donor = build_regressor(Architecture("test_resnet", 32), BackboneOptions(), seed=9)
    save_file(donor.backbone.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def options(**changes) -> TrainingOptions:
    given = {
        "epochs": 30,
        "batch_size": 16,
        "optimizer": OptimizerOptions("adamw", learning_rate=3e-3),
        "augmentation": AugmentationOptions("none"),
        "compute": FLOAT32,
    }
    return TrainingOptions(**{**given, **changes})


def counted(patches: LabelledPatches) -> LabelledPatches:
    return LabelledPatches(
        Counting(patches.source.rgb), patches.ratios, patches.weights, patches.slides
    )


def fit(weights: Path, folder: Path, *, size=1, plan=None, on_epoch=None, bins=(), name=None):
    backbone = BackboneOptions(name or "test_resnet", weights_path=str(weights), frozen=True)
    head = HeadOptions(bins=bins)
    loss = LossOptions("bin_cross_entropy" if bins else "smooth_l1")
    return fit_ensemble(
        size,
        architecture_of("mine", backbone, head, 32),
        backbone,
        head,
        loss,
        plan or options(),
        counted(planted_patches(96, seed=1)),
        counted(planted_patches(16, seed=2, prefix="v")),
        folder,
        title="frozen",
        on_epoch=on_epoch,
    )


def test_the_head_learns_and_the_backbone_stays_as_it_was(weights, tmp_path):
    Counting.read_so_far.clear()
    predictor, (trained,) = fit(weights, tmp_path / "m")
    assert sum(Counting.read_so_far) == 96 + 16  # each patch once
    assert len(trained.history) == 30
    kept = build_regressor(
        Architecture("test_resnet", 32), BackboneOptions(weights_path=str(weights)), seed=0
    ).backbone.state_dict()
    for name, value in predictor.network.backbone.state_dict().items():
        assert torch.equal(value, kept[name]), name  # running statistics, too
    unseen = planted_patches(40, seed=3)
    error = np.abs(predictor.predict_source(unseen.source) - unseen.ratios).mean()
    assert error < 0.1  # always answering the median errs by 0.25


def test_validation_errors_are_those_of_the_whole_network(weights, tmp_path):
    predictor, (trained,) = fit(weights, tmp_path / "m", plan=options(epochs=4))
    patches = planted_patches(16, seed=2, prefix="v")
    error = np.abs(predictor.predict_source(patches.source).astype(float) - patches.ratios)
    found = trained.history[trained.best_epoch - 1]["val_mae"]
    assert found == pytest.approx(error.mean(), abs=1e-6)  # four slides of four patches each


def test_a_killed_training_goes_on_bit_equal_without_reading_a_patch(weights, tmp_path):
    def kill(metrics, epoch):
        if epoch == 3:
            raise KilledError

    plan = options(epochs=6)
    whole, _ = fit(weights, tmp_path / "whole", plan=plan)
    with pytest.raises(KilledError):
        fit(weights, tmp_path / "cut", plan=plan, on_epoch=kill)
    (best,) = (tmp_path / "cut").glob("best_*.safetensors")
    layers = ("0.weight", "0.bias", "3.weight", "3.bias")
    assert set(load_file(best)) == {f"head.{name}" for name in layers}  # the head alone
    Counting.read_so_far.clear()
    again, _ = fit(weights, tmp_path / "cut", plan=plan)
    assert Counting.read_so_far == []
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_members_of_an_ensemble_share_the_features(weights, tmp_path):
    Counting.read_so_far.clear()
    predictor, _ = fit(weights, tmp_path / "m", size=3, plan=options(epochs=2))
    assert sum(Counting.read_so_far) == 96 + 16
    heads = [network.head[0].weight for network in (predictor.network, *predictor.others)]
    assert not torch.equal(heads[0], heads[1])
    assert len(list((tmp_path / "m").glob("frozen_features*"))) == 1


def test_bins_are_learned_on_frozen_features(weights, tmp_path):
    _, (trained,) = fit(weights, tmp_path / "m", bins=(0.2, 0.5))
    assert max(record["val_bin_accuracy"] for record in trained.history) > 0.7


@pytest.mark.parametrize("name", ["test_vit", "levit_128s"])
def test_any_backbone_serves(tmp_path, name):
    side = 32
    donor = build_regressor(Architecture(name, side), BackboneOptions(), seed=9)
    path = tmp_path / "w.safetensors"
    save_file(donor.backbone.state_dict(), path)
    predictor, (trained,) = fit(path, tmp_path / "m", plan=options(epochs=1), name=name)
    assert np.isfinite(predictor.predict_source(planted_patches(3, seed=0).source)).all()
    assert len(trained.history) == 1


def test_random_features_are_refused():
    with pytest.raises(ValueError, match="`frozen` and `frozen_stages` need"):
        BackboneOptions("test_resnet", frozen=True)
